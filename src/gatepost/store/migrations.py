"""How a store file comes to the present schema: numbered steps, then tables and columns for new structs and members.

A step runs in one transaction, so a crash leaves the old version or the new one (threat 84). A new struct, and a new
member that has a default, need no step: the table or the column is added by `grow`. Everything else (a member renamed,
removed or changed in meaning, rows to fill) is a step of its own here, and must also bear a fresh store, where the
first step has made the tables as they are today.

Steps are run in the order in which they stand, whatever their numbers, and are known by their whole names, which stores
hold: a name stays as it is, and a new step goes to the end.
"""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
from collections.abc import Iterable
from typing import Any

from sqlite_utils import Database, Migrations

from gatepost.model.access import Grant, Role, Ticket
from gatepost.model.audit import Audit
from gatepost.model.connection import Connection, Project
from gatepost.model.dkim import DkimKey
from gatepost.model.email import Email
from gatepost.model.health import Checkup
from gatepost.model.options import OptionValue
from gatepost.model.outgoing import Share
from gatepost.model.rules import SenderRule
from gatepost.model.stored import Copy
from gatepost.model.tenant import Domain, User
from gatepost.store.rooms import COPY_TRIGGERS, DEPARTED, FOLDER, ROOMS, TRIGGERS, USER_TOTAL, USER_TRIGGERS
from gatepost.store.schema import TABLES, Table

APPLICATION_ID = 0x67617465  # "gate"
VERSION = 1  # stands in user_version; raised with each step that older programs can't live with

_KEYS_GO = """
CREATE TRIGGER domain_dkim_removed AFTER DELETE ON domain BEGIN
  DELETE FROM dkim_key WHERE domain_id = OLD.id;
END;
"""


def _apart(one: str, other: str, column: str) -> str:
    """Triggers that keep a name unique over two tables; they fail in the words of a unique key."""
    made = ""
    for mine, theirs in ((one, other), (other, one)):
        for verb in ("INSERT", f"UPDATE OF {column}"):
            made += (
                f'CREATE TRIGGER {mine}_apart_{verb[:6].lower()} BEFORE {verb} ON "{mine}" '
                f'WHEN EXISTS (SELECT 1 FROM "{theirs}" WHERE {column} = NEW.{column}) '
                f"BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: {mine}.{column}'); END;\n"
            )
    return made


MIGRATIONS = Migrations("gatepost")


@MIGRATIONS(name="0001_tables")
def _tables(db: Database) -> None:
    for table in TABLES.values():
        for statement in table.ddl():
            db.execute(statement)
    for script in (ROOMS, FOLDER, COPY_TRIGGERS, TRIGGERS):
        _run(db.conn, script)
    _run(db.conn, _apart("domain", "domain_alias", "name"))
    _run(db.conn, _apart("user", "group", "email"))


@MIGRATIONS(name="0002_folders")
def _folders(db: Database) -> None:
    """Folders by their paths; retained mail that its sender sent lies in Sent; totals for each category."""
    _drop_copy_triggers(db)
    db.execute("DROP TABLE folder")
    db.execute(_RENAMED)
    _run(db.conn, FOLDER + COPY_TRIGGERS)
    db.execute(
        "INSERT INTO folder SELECT mailbox, folder, category, max(domain_id), count(*), sum(NOT seen), 0 FROM copy"
        " GROUP BY mailbox, folder, category"
    )


def _drop_copy_triggers(db: Database) -> None:
    for name in ("added", "removed", "seen", "moved", "archived"):
        db.execute(f"DROP TRIGGER copy_{name}")


_RENAMED = """
UPDATE copy SET folder = CASE lower(folder) WHEN 'quarantine' THEN 'Quarantine' WHEN 'archive' THEN 'Archive'
WHEN 'system' THEN 'System' WHEN 'retention' THEN iif(mailbox = (SELECT sender FROM message WHERE id = mail_id
AND direction = 'out'), 'Sent', 'INBOX') ELSE folder END
"""


@MIGRATIONS(name="0003_dkim")
def _dkim(db: Database) -> None:
    _add_tables(db, DkimKey)
    _run(db.conn, _KEYS_GO)


_RIGHTS_GO = """
CREATE TRIGGER admin_rights_removed AFTER DELETE ON admin BEGIN DELETE FROM "grant" WHERE admin_id = OLD.id; END;
CREATE TRIGGER domain_rights_removed AFTER DELETE ON domain BEGIN
  DELETE FROM "grant" WHERE level = 'DOMAIN' AND node_id = OLD.id;
  DELETE FROM role WHERE domain_id = OLD.id;
END;
"""


@MIGRATIONS(name="0004_rights")
def _rights(db: Database) -> None:
    _add_tables(db, Grant, Role)
    _run(db.conn, _RIGHTS_GO)


# Where a value can be set, by the table of its owner; what is set for a tenant goes with it.
_OWNERS = {"URL": "broker", "CUSTOMER": "customer", "DOMAIN": "domain", "USER": "user"}


@MIGRATIONS(name="0005_options")
def _options(db: Database) -> None:
    _add_tables(db, OptionValue)
    for scope, owner in _OWNERS.items():
        _run(
            db.conn,
            f'CREATE TRIGGER {owner}_options_removed AFTER DELETE ON "{owner}" BEGIN '
            f"DELETE FROM option_value WHERE scope = '{scope}' AND owner_id = OLD.id; END;\n",
        )


_CHECKUPS_GO = """
CREATE TRIGGER domain_checkup_removed AFTER DELETE ON domain BEGIN
  DELETE FROM checkup WHERE entity = 'DOMAIN' AND entity_id = OLD.id;
END;
CREATE TRIGGER platform_checkup_removed AFTER DELETE ON platform BEGIN
  DELETE FROM checkup WHERE entity = 'PLATFORM' AND entity_id = OLD.id;
END;
"""


@MIGRATIONS(name="0006_health")
def _health(db: Database) -> None:
    _add_tables(db, Checkup)
    _run(db.conn, _CHECKUPS_GO)


@MIGRATIONS(name="0007_providers")
def _providers(db: Database) -> None:
    """The domains that name a provider are found by an index."""
    _index(db, Domain, 4)


@MIGRATIONS(name="0008_tickets")
def _tickets(db: Database) -> None:
    _add_tables(db, Ticket)


def _add_tables(db: Database, *kinds: type[Any]) -> None:
    """Make the tables that a store of before lacks; a fresh one has them all from its first step."""
    there = set(db.table_names())
    for table in (TABLES[kind] for kind in kinds):
        for statement in table.ddl() if table.name not in there else ():
            db.execute(statement)


@MIGRATIONS(name="0004_uncopied")
def _uncopied(db: Database) -> None:
    """What left a mailbox, until the body search has let it go (rules 22)."""
    _run(db.conn, _UNCOPIED)


_UNCOPIED = """
CREATE TABLE uncopied (id INTEGER PRIMARY KEY, mail_id TEXT NOT NULL, mailbox TEXT NOT NULL COLLATE NOCASE) STRICT;
CREATE TRIGGER copy_gone AFTER DELETE ON copy
WHEN NOT EXISTS (SELECT 1 FROM copy WHERE mail_id = OLD.mail_id AND mailbox = OLD.mailbox)
BEGIN INSERT INTO uncopied (mail_id, mailbox) VALUES (OLD.mail_id, OLD.mailbox); END;
"""


@MIGRATIONS(name="0005_lists")
def _lists(db: Database) -> None:
    """What folder lists sort and search by stands in the copies' own index (rules 23)."""
    copies = TABLES[Copy]
    there = {row[1] for row in db.execute(f'PRAGMA table_info("{copies.name}")')}
    missing = [name for name in copies.hidden if name not in there]
    for name in missing:
        db.execute(f"ALTER TABLE {copies.name} ADD COLUMN {copies.hidden[name].ddl}")
    if missing:
        values = (f"{name} = {copies.hidden[name].value.replace(':mail_id', 'mail_id')}" for name in missing)
        db.execute(f"UPDATE {copies.name} SET {', '.join(values)}")
    _index(db, Copy, 0)


def _index(db: Database, kind: type[Any], *numbers: int) -> None:
    """Make indexes of a table anew, as they are described today."""
    table = TABLES[kind]
    for number in numbers:
        db.execute(f'DROP INDEX IF EXISTS "{table.name}_by{number}"')
        db.execute(table.index(number))


@MIGRATIONS(name="0006_audit")
def _audit(db: Database) -> None:
    _add_tables(db, Audit)
    _run(db.conn, _AUDIT)


_AUDIT = """
-- Nothing takes the audit back: entries don't change, and go only when their term is over.
INSERT INTO meta VALUES ('audited', 0);
CREATE TRIGGER audit_kept BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: the audit'); END;
CREATE TRIGGER audit_removed BEFORE DELETE ON audit
WHEN OLD.at >= (SELECT value FROM meta WHERE key = 'audited') BEGIN
  SELECT RAISE(ABORT, 'CHECK constraint failed: the audit keeps its entries until the end of their term');
END;
"""


@MIGRATIONS(name="0009_protected")
def _protected(db: Database) -> None:
    """An owner's PROTECTED rules are found by an index."""
    _index(db, SenderRule, 2)


_PROJECTS_GO = """
CREATE TRIGGER customer_projects_removed AFTER DELETE ON customer BEGIN
  DELETE FROM connection WHERE project_id IN (SELECT id FROM project WHERE customer_id = OLD.id);
  DELETE FROM project WHERE customer_id = OLD.id;
END;
"""


@MIGRATIONS(name="0010_connections")
def _connections(db: Database) -> None:
    """Outgoing relays by name; who is bound to one is found by an index."""
    _add_tables(db, Project, Connection)
    _run(db.conn, _PROJECTS_GO)
    for kind, number in ((Domain, 5), (User, 3)):
        _add_columns(db.conn, TABLES[kind], ["connection_id"])
        _index(db, kind, number)


@MIGRATIONS(name="0011_memory")
def _memory(db: Database) -> None:
    """What filters learn and count (rules 26)."""
    _run(db.conn, _MEMORY)


_MEMORY = """
CREATE TABLE memory (
  room INTEGER NOT NULL, key INTEGER NOT NULL, first INTEGER NOT NULL, second INTEGER NOT NULL,
  since INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (room, key)
) STRICT, WITHOUT ROWID;
"""


@MIGRATIONS(name="0012_shares")
def _shares(db: Database) -> None:
    """The files that an account shared go with it: the next purge takes them."""
    _add_tables(db, Share)
    _run(db.conn, _UNSHARED)


_UNSHARED = """
CREATE TRIGGER user_shares_removed AFTER DELETE ON user
BEGIN UPDATE share SET expires_at = 0 WHERE user_id = OLD.id; END;
"""


_EMAILS_HELD = """
CREATE TRIGGER copy_told AFTER INSERT ON copy
WHEN NEW.folder NOT IN ('Sent', 'INBOX', 'Archive') AND EXISTS (SELECT 1 FROM email WHERE mail_id = NEW.mail_id) BEGIN
  UPDATE email SET status = 'FAILURE', message = 'held: ' || NEW.reason WHERE mail_id = NEW.mail_id;
END;
"""


@MIGRATIONS(name="0013_emails")
def _emails(db: Database) -> None:
    """Mail of applications; one that filters hold is told of as such (the rest is store/emails.py's)."""
    _add_tables(db, Email)
    _run(db.conn, _EMAILS_HELD)


@MIGRATIONS(name="0014_searched")
def _searched(db: Database) -> None:
    """To whom a mail went is searched in the copies' own index, too; accounts are listed by last name by one."""
    _lists(db)
    _index(db, User, 4, 5)


@MIGRATIONS(name="0015_user_totals")
def _user_totals(db: Database) -> None:
    _run(db.conn, USER_TOTAL + USER_TRIGGERS)


@MIGRATIONS(name="0016_user_orders")
def _user_orders(db: Database) -> None:
    """Accounts are listed by first name, by status and by the date of their creation by an index, too."""
    _index(db, User, 6, 7, 8, 9, 10, 11)


@MIGRATIONS(name="0017_user_languages")
def _user_languages(db: Database) -> None:
    """Accounts are listed by language by an index, too."""
    _index(db, User, 12, 13)


@MIGRATIONS(name="0018_folder_marks")
def _folder_marks(db: Database) -> None:
    """A folder bears a mark that changes with what lies in it."""
    if "mark" not in {row[1] for row in db.execute('PRAGMA table_info("folder")')}:
        db.execute("ALTER TABLE folder ADD COLUMN mark INTEGER NOT NULL DEFAULT 0")
    _drop_copy_triggers(db)
    _run(db.conn, COPY_TRIGGERS)


@MIGRATIONS(name="0019_rule_orders")
def _rule_orders(db: Database) -> None:
    """An owner's sender rules are listed in their usual order by an index, too."""
    _index(db, SenderRule, 3)


@MIGRATIONS(name="0020_held")
def _held(db: Database) -> None:
    """What is held is listed over all mailboxes, and those of a domain, by an index."""
    _index(db, Copy, 3, 4)


@MIGRATIONS(name="0021_heirs")
def _heirs(db: Database) -> None:
    """Accounts at whose address mail lies that was kept for a former holder are marked."""
    _add_columns(db.conn, TABLES[User], ["heir"])
    # The copies in the order in which they lie: by their index each of them would be a look elsewhere.
    found = "SELECT user.id FROM copy CROSS JOIN user ON user.email = copy.mailbox WHERE copy.user_id != user.id"
    db.execute(f"UPDATE user SET heir = 1 WHERE id IN ({found})")


@MIGRATIONS(name="0022_departed")
def _departed(db: Database) -> None:
    """An account goes in one write, however many sender rules it has."""
    db.execute("DROP TRIGGER IF EXISTS user_removed")
    _run(db.conn, DEPARTED)


@MIGRATIONS(name="0023_groups_mail")
def _groups_mail(db: Database) -> None:
    """What is kept for a group is marked as such."""
    _add_columns(db.conn, TABLES[Copy], ["group_id"])
    named = 'SELECT id FROM "group" WHERE email = copy.mailbox'
    db.execute(f'UPDATE copy SET group_id = ({named}) WHERE mailbox IN (SELECT email FROM "group") AND user_id IS NULL')


def _add_columns(connection: sqlite3.Connection, table: Table[Any], names: Iterable[str]) -> None:
    """Add those of some columns that a store of before lacks."""
    there = {row[1] for row in connection.execute(f'PRAGMA table_info("{table.name}")')}
    for name in names:
        if name not in there:
            connection.execute(f'ALTER TABLE "{table.name}" ADD COLUMN {table.columns[name].ddl}')


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run statements within the open transaction (`executescript` would commit it)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a store to the present schema; each step whole or not at all."""
    db = Database(connection, execute_plugins=False)
    if MIGRATIONS.pending(db):
        MIGRATIONS.apply(db)
    with db.atomic():  # a table that a crash left without its unique keys would be taken for whole ever after
        _grow(connection)
    if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _grow(connection: sqlite3.Connection) -> None:
    """Add the tables that are missing, and the columns: of no table that was made by today's very statement."""
    made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for table in TABLES.values():
        if table.name not in made:
            for statement in table.ddl():
                connection.execute(statement)
        elif made[table.name] != table.made_by:
            _add_columns(connection, table, table.columns)
