"""Which struct lives in which table: its columns, how values go in and out, its keys and indexes."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import operator
import re
import typing
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from gatepost.model.access import Admin, Grant, Role, Ticket, Token
from gatepost.model.audit import Audit
from gatepost.model.connection import Connection, Project
from gatepost.model.dkim import DkimKey
from gatepost.model.email import Email
from gatepost.model.health import Checkup
from gatepost.model.options import OptionValue
from gatepost.model.outgoing import Composition, Scheduled, Share, Submission, Upload
from gatepost.model.policy import Policy
from gatepost.model.route import Platform
from gatepost.model.rules import AttachmentRule, SenderRule, UriRule
from gatepost.model.stored import Copy, Delivery, Message, Pause, Relocation, StsPolicy
from gatepost.model.suppression import Suppression
from gatepost.model.tenant import Broker, Customer, Domain, DomainAlias, Group, GroupMember, Provider, User
from gatepost.model.tls_reports import TlsReport, TlsResult
from gatepost.model.verdict import HOLDS
from gatepost.model.webhook import HookCall, Webhook
from gatepost.store.making import Words, maker

T = TypeVar("T")


class Few(msgspec.Struct, frozen=True):
    """The few rows of a table that have one of some values in a column; partial indexes hold these alone.

    With `parts` the indexes serve those, too, who ask for some of the values.
    """

    column: str
    values: tuple[str, ...]  # as the indexes say them, in this order
    parts: bool = False

    def sql(self, prefix: str = "") -> str:
        """Return the condition in the words of the indexes, without which none of them is used."""
        values = ", ".join(f"'{value}'" for value in self.values)
        return f"{prefix}{self.column} IN ({values})"


UNDER_WAY = Few("state", ("queued", "held"), parts=True)  # deliveries that are not done
LIVE = UNDER_WAY.sql()
HELD = Few("folder", HOLDS)  # what was kept from its recipients

PROTECTED = "type = 'PROTECTED'"  # sender rules whose persons are looked for; likewise


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a struct: its SQL type, and how its values go in and out (None: as they are)."""

    name: str
    type: str
    nullable: bool
    json: bool
    dump: Callable[[Any], Any] | None
    load: Callable[[Any], Any] | None
    default: str | None  # as SQL

    @property
    def ddl(self) -> str:
        # A text id keeps its bytes' order, so that new ones are appended.
        collate = " COLLATE NOCASE" if self.type == "TEXT" and self.name != "id" else ""
        null = "" if self.nullable else " NOT NULL"
        default = "" if self.default is None else f" DEFAULT {self.default}"
        return f'"{self.name}" {self.type}{null}{collate}{default}'


class Hidden(msgspec.Struct, frozen=True):
    """A column that the struct doesn't have: filled at the insert by an expression over the other values (`:name`)."""

    ddl: str
    value: str


class Table(Generic[T]):
    """Where a struct lives. `quiet` columns change without a new generation; `unique` keys and `indexes` are SQL.

    What is no configuration and `stirs` has a new revision with each row that is added, changed or removed by itself.

    The audit masks `secret` columns and leaves `inner` ones out, which only the store and the services understand.
    """

    def __init__(
        self,
        kind: type[T],
        *,
        unique: Sequence[str] = (),
        indexes: Sequence[str] = (),
        config: bool = True,
        stirs: bool = False,
        quiet: Sequence[str] = (),
        secret: Sequence[str] = (),
        inner: Sequence[str] = (),
        hidden: dict[str, Hidden] | None = None,
        few: Few | None = None,
    ) -> None:
        self.kind = kind
        self.name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        self.config = config
        self.stirs = config or stirs
        self.quiet = frozenset(quiet)
        self.secret = frozenset(secret)
        self.inner = frozenset(inner).union(quiet)
        self.hidden = hidden or {}
        self.few = few
        self.columns = {column.name: column for column in _columns(kind)}
        self.unique = tuple(unique)
        self.indexes = tuple(indexes)
        self.numbered = self.columns["id"].type == "INTEGER"
        self._members = operator.attrgetter(*self.columns)
        self._dumps = [(at, c.dump) for at, c in enumerate(self.columns.values()) if c.dump]
        self._make = maker(kind, {column.name: column.load for column in self.columns.values()})
        self.fields = ", ".join(f'"{name}"' for name in self.columns)
        self.insert = self._insert({name: each.value for name, each in self.hidden.items()})
        names = ", ".join(f'"{name}"' for name in [*self.columns, *self.hidden])
        # Hidden ones are bound after the others. Who inserts many takes all back where one fails: else SQLite copies
        # each page that it changes, to do so by itself.
        self.insert_rows = f'INSERT OR FAIL INTO "{self.name}" ({names}) VALUES {{rows}}'

    def values(self, item: T) -> list[Any]:
        """Return what `insert` binds for an item; id 0 means: give it one."""
        found = list(self._members(item))
        for at, dump in self._dumps:
            found[at] = dump(found[at])
        if self.numbered and not found[0]:
            found[0] = None
        return found

    def row(self, values: Sequence[Any]) -> T:
        """Return the item that a row of `fields` holds."""
        return self._make(*values)

    @cached_property
    def made_by(self) -> str:
        """The statement that makes the table, as SQLite keeps it, too."""
        key = '"id" INTEGER PRIMARY KEY AUTOINCREMENT' if self.numbered else f"{self.columns['id'].ddl} PRIMARY KEY"
        columns = [key, *(c.ddl for c in list(self.columns.values())[1:]), *(h.ddl for h in self.hidden.values())]
        return f'CREATE TABLE "{self.name}" ({", ".join(columns)}) STRICT'

    def ddl(self) -> list[str]:
        """Return the statements that make the table and its indexes."""
        made = [self.made_by]
        for number, keys in enumerate(self.unique):
            made.append(f'CREATE UNIQUE INDEX "{self.name}_key{number}" ON "{self.name}" ({keys})')
        return made + [self.index(number) for number in range(len(self.indexes))]

    def index(self, number: int) -> str:
        """Return the statement that makes one of the indexes."""
        return f'CREATE INDEX "{self.name}_by{number}" ON "{self.name}" {self.indexes[number]}'

    def _insert(self, hidden: dict[str, str]) -> str:
        names = ", ".join(f'"{name}"' for name in [*self.columns, *hidden])
        given = ", ".join(f'? AS "{name}"' for name in self.columns)  # numbered ones make Python 3.12 warn at each call
        made = ", ".join(["given.*", *(re.sub(r":(\w+)", r'given."\1"', value) for value in hidden.values())])
        return f'INSERT INTO "{self.name}" ({names}) SELECT {made} FROM (SELECT {given}) AS given'


def _columns(kind: type[Any]) -> list[Column]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    hints = typing.get_type_hints(kind)
    return [_column(field, hints[field.name]) for field in info.fields]


def _column(field: inspect.Field, hint: Any) -> Column:
    nullable, known = _bare(field.type)
    sql, load = _TYPES.get(type(known), ("TEXT", None))
    json = sql == "TEXT" and not isinstance(known, (inspect.StrType, inspect.EnumType))
    if isinstance(known, inspect.EnumType):
        load = Words(known.cls).__getitem__
    dump = _encode if json else None
    return Column(
        name=field.name,
        type=sql,
        nullable=nullable,
        json=json,
        dump=dump,
        load=msgspec.json.Decoder(hint).decode if json else load,
        default=_default(field, dump),
    )


_TYPES: dict[type, tuple[str, Callable[[Any], Any] | None]] = {
    inspect.IntType: ("INTEGER", None),
    inspect.BoolType: ("INTEGER", bool),
    inspect.FloatType: ("REAL", None),
}


def _bare(known: inspect.Type) -> tuple[bool, inspect.Type]:
    if not isinstance(known, inspect.UnionType):
        return False, known
    (only,) = [each for each in known.types if not isinstance(each, inspect.NoneType)]
    return True, only


def _encode(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _default(field: inspect.Field, dump: Callable[[Any], Any] | None) -> str | None:
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    elif field.default is not msgspec.NODEFAULT:
        value = field.default
    else:
        return None
    value = dump(value) if dump else value
    if value is None:
        return None
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(float(value)).removesuffix(".0")


def _of_message(expression: str) -> str:
    return f"(SELECT {expression} FROM message WHERE id = :mail_id)"


TABLES: dict[type[Any], Table[Any]] = {
    table.kind: table
    for table in (
        Table(Broker),
        Table(Customer, indexes=["(broker_id)"]),
        Table(
            Domain,
            unique=["name"],
            indexes=[
                "(customer_id, name)",
                "(policy_id)",
                "(id) WHERE outgoing_subnets != '[]'",
                "(purge_date)",
                "(id) WHERE outgoing_provider_ids != '[]'",
                "(connection_id) WHERE connection_id IS NOT NULL",
            ],
            inner=["sender_generation"],
        ),
        Table(DomainAlias, unique=["name"], indexes=["(domain_id, name)"]),
        Table(
            User,
            unique=["email"],
            indexes=[
                "(domain_id, email)",
                "(policy_id)",
                "(platform_id)",
                "(connection_id) WHERE connection_id IS NOT NULL",
                "(lastname)",
                "(domain_id, lastname)",
                "(firstname)",
                "(domain_id, firstname)",
                "(status)",
                "(domain_id, status)",
                "(creation_date)",
                "(domain_id, creation_date)",
                "(language)",
                "(domain_id, language)",
            ],
            quiet=["last_connection_date", "scram", "totp_secret", "totp_step"],
            secret=["password_hash"],
            inner=["sender_generation", "heir"],
        ),
        Table(Group, unique=["email"], indexes=["(domain_id, email)"]),
        Table(GroupMember, unique=["group_id, email"], indexes=["(email)"]),
        Table(Provider, unique=["spf_provider"]),
        Table(Platform, indexes=["(domain_id)"], secret=["auth_data", "api_data"]),
        Table(Project, unique=["name"], indexes=["(customer_id)"]),
        Table(
            Connection,
            # An expression, since NULLs would all count as different: there is one without a project.
            unique=["coalesce(project_id, 0), name"],
            indexes=["(project_id)"],
            secret=["password"],
        ),
        Table(Policy, unique=["domain_id, name"]),
        Table(Checkup, config=False, unique=["entity, entity_id"], indexes=["(failing, id)"]),
        Table(DkimKey, indexes=["(domain_id)", "(waiting)"], secret=["private"]),
        Table(
            SenderRule,
            # An expression, since NULLs would all count as different.
            unique=["domain_id, coalesce(user_id, 0), generation, value, type"],
            indexes=[
                "(owner, value)",
                "(user_id, generation) WHERE user_id IS NOT NULL",
                f"(owner, id) WHERE {PROTECTED}",
                "(owner, generation)",  # a list in the order of its ids
            ],
            inner=["generation"],
        ),
        Table(AttachmentRule, indexes=["(domain_id, priority)"]),
        Table(UriRule, indexes=["(domain_id, priority)"]),
        Table(
            Admin,
            unique=["login"],
            quiet=["last_connection_date", "totp_secret", "totp_step"],
            secret=["password_hash"],
        ),
        Table(Grant, unique=["admin_id, level, node_id"], indexes=["(level, node_id)"]),
        Table(Role, unique=["domain_id, name"]),
        Table(Token, unique=["digest"], indexes=["(admin_id)", "(user_id)"], quiet=["last_use"], secret=["digest"]),
        Table(Ticket, config=False, unique=["digest"], indexes=["(expires_at)"]),
        Table(OptionValue, unique=["scope, owner_id, name"]),
        Table(
            Audit,
            config=False,
            indexes=["(at)", "(broker_id)", "(customer_id)", "(domain_id)", "(login)", "(object_id)"],
        ),
        # Mail. Indexes by random keys cost most: message_id, remote_id, the folder; the others grow at their end.
        Table(Message, config=False, indexes=["(message_id)"]),
        Table(
            Copy,
            config=False,
            # A folder in its usual order; what stands behind lets the other orders do without the rows.
            indexes=[
                "(mailbox, folder, sent, id, category, received, size, header_from, subject, header_to, header_cc)",
                "(mail_id)",
                "(expires_at)",
                f"(id, folder, category) WHERE {HELD.sql()}",
                f"(domain_id, id, folder, category) WHERE {HELD.sql()}",
            ],
            few=HELD,
            hidden={
                # What folder lists sort and search by, kept here so that they needn't open each message.
                "sent": Hidden('"sent" INTEGER NOT NULL', _of_message("coalesce(sent, received)")),
                "header_from": Hidden(
                    "\"header_from\" TEXT NOT NULL COLLATE NOCASE DEFAULT ''", _of_message("header_from")
                ),
                "subject": Hidden("\"subject\" TEXT NOT NULL COLLATE NOCASE DEFAULT ''", _of_message("subject")),
                "received": Hidden('"received" INTEGER NOT NULL DEFAULT 0', _of_message("received")),
                "size": Hidden('"size" INTEGER NOT NULL DEFAULT 0', _of_message("size")),
                "header_to": Hidden("\"header_to\" TEXT NOT NULL COLLATE NOCASE DEFAULT ''", _of_message("header_to")),
                "header_cc": Hidden("\"header_cc\" TEXT NOT NULL COLLATE NOCASE DEFAULT ''", _of_message("header_cc")),
            },
        ),
        Table(Relocation, config=False, unique=["old"]),
        Table(
            Delivery,
            config=False,
            indexes=[
                "(mail_id)",
                "(remote_id) WHERE remote_id IS NOT NULL",
                f"(id) WHERE {LIVE}",
            ],
            few=UNDER_WAY,
        ),
        Table(
            Suppression,
            config=False,
            stirs=True,
            unique=["domain_id, address"],
            indexes=["(expires_at) WHERE expires_at IS NOT NULL"],
        ),
        Table(Webhook, indexes=["(domain_id)"], secret=["secret"]),
        Table(
            HookCall,
            config=False,
            indexes=["(due) WHERE state = 'waiting'", "(webhook_id, id)", "(done_at) WHERE done_at IS NOT NULL"],
        ),
        Table(Pause, config=False, unique=["destination"]),
        Table(StsPolicy, config=False, unique=["domain"], indexes=["(expires)"]),
        Table(TlsResult, config=False, indexes=["(day, domain)"]),
        Table(TlsReport, config=False, indexes=["(due)", "(day)"]),
        Table(
            Email,
            config=False,
            indexes=["(mail_id)", "(domain_id)", "(user_id)", "(notification_id)", "(expires_at)"],
        ),
        Table(Upload, config=False, indexes=["(user_id)", "(expires_at)"]),
        Table(Share, config=False, indexes=["(user_id)", "(expires_at)"], secret=["password_hash"]),
        Table(Scheduled, config=False, indexes=["(user_id, asked)", "(due)"]),
        Table(Composition, config=False, unique=["digest"], indexes=["(user_id)", "(expires_at)"]),
        Table(Submission, config=False, unique=["account, key"], indexes=["(expires_at)"]),
    )
}


def table(kind: type[T]) -> Table[T]:
    """Return the table of a struct."""
    return TABLES[kind]
