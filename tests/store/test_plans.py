"""No question on the road of a mail or of a list walks through a table: SQLite's own plans say so, at full size."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from tests.store.samples import DAY, NOW, copy, delivery, domain, mail_id, message, user

from gatepost.model.access import Token
from gatepost.model.envelope import Body
from gatepost.model.query import Any as AnyOf
from gatepost.model.query import Condition, Op, Pattern, Query, Where, eq, every
from gatepost.model.route import Platform
from gatepost.model.rules import AttachmentRule, SenderRule, UriRule
from gatepost.model.stored import Copy, Delivery, Message, State
from gatepost.model.tenant import Domain, DomainAlias, Group, GroupMember, User
from gatepost.model.verdict import Folder
from gatepost.store.connection import _fold
from gatepost.store.mail import Arrival, Mail
from gatepost.store.migrations import migrate
from gatepost.store.purge import Purged, forget_refused, purge
from gatepost.store.reader import Reader
from gatepost.store.writer import Writer

DOMAINS = 1000
RULES = 20_000


class Watched:
    """A connection that notes the plan of each statement."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.plans: list[tuple[str, str]] = []

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        if sql.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            for row in self._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values):
                self.plans.append((row[3], sql))
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, values: Any) -> None:
        for each in values:
            self.execute(sql, each)


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    """1,000 domains, 20,000 sender rules, some thousand mails, without statistics, as a store has none."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.create_function("fold", 1, _fold, deterministic=True)
    migrate(made)
    made.execute("BEGIN")
    made.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO domain"
        " (id, customer_id, name, default_language, creation_date) SELECT i, i, 'd' || i || '.test', 'EN', 1 FROM n",
        (DOMAINS,),
    )
    made.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO sender_rule"
        " (domain_id, owner, value, type, created_date) SELECT 1 + i % 10, 'd' || (1 + i % 10) || '.test',"
        " 'sender' || i || '@out.test', 'BLOCK', 1 FROM n",
        (RULES,),
    )
    mail = Mail(made)
    for number in range(1, 2001):
        row = copy(number, mailbox=f"u{number % 20}@d1.test")
        mail.keep([Arrival(message(number), Body(1, b"x"), [row], [delivery(number)], [], NOW)])
    made.execute("COMMIT")
    yield made
    made.close()


INSIDE = every(eq("mailbox", "u1@d1.test"), eq("folder", "Quarantine"))
CLASS = every(INSIDE, eq("category", "SPAM"))
LIVE = Where("state", Op.IN, (State.QUEUED, State.HELD))
HELD = Where("folder", Op.IN, (Folder.QUARANTINE, Folder.SYSTEM))


def contains(field: str) -> Where:
    return Where(field, Op.LIKE, Pattern("x", open_start=True, open_end=True))


ASKED: dict[str, Callable[[Reader], Any]] = {
    "domain": lambda r: r.domain("d77.test"),
    "senders": lambda r: r.naming("outgoing_subnets"),
    "customers of providers": lambda r: r.naming("outgoing_provider_ids"),
    "trusted_subnets": lambda r: r.trusted_subnets(),
    "sender_rules": lambda r: r.sender_rules({"d1.test", "u@d1.test"}, {"sender7@out.test", "out.test"}, NOW),
    "protected": lambda r: r.protected("d1.test", NOW, 100),
    "folders": lambda r: r.folders("u1@d1.test"),
    "folders without a former holder's mail": lambda r: r.folders("u1@d1.test", 7),
    "whether there is any": lambda r: r.may_keep_for_another("u1@d1.test", 7),
    "body": lambda r: r.body(mail_id(7)),
    "trace": lambda r: r.trace(mail_id(7)),
    "mails of a time": lambda r: r.find(
        Message, Query(where=every(Where("id", Op.GE, "01"), Where("id", Op.LT, "02")), sort="-id", offset=9, limit=1)
    ),
    "messages": lambda r: r.messages("<7@out.test>"),
    "queued": lambda r: list(r.queued()),
    "live": lambda r: r.live(1000, 10),
    "states": lambda r: r.states(),
    "noted": lambda r: r.noted("refused"),
    "refusals": lambda r: r.refusals(100),
    "a domain by name": lambda r: r.first(Domain, eq("name", "d5.test")),
    "an alias": lambda r: r.first(DomainAlias, eq("name", "d5.test")),
    "a user": lambda r: r.first(User, eq("email", "u@d5.test")),
    "a group": lambda r: r.first(Group, eq("email", "u@d5.test")),
    "its members": lambda r: r.find(GroupMember, Query(where=eq("group_id", 5))),
    "platforms": lambda r: r.find(Platform, Query(where=eq("domain_id", 5))),
    "attachment rules": lambda r: r.find(AttachmentRule, Query(where=eq("domain_id", 5), sort="priority")),
    "uri rules": lambda r: r.find(UriRule, Query(where=eq("domain_id", 5), sort="priority")),
    "a token": lambda r: r.first(Token, eq("digest", "00")),
    "tokens of an administrator": lambda r: r.find(Token, Query(where=eq("admin_id", 5))),
    "tokens of a user": lambda r: r.find(Token, Query(where=eq("user_id", 5))),
    "users of a domain": lambda r: r.find(User, Query(where=eq("domain_id", 5), sort="email", limit=40, total=True)),
    **{
        f"users of a domain by {sort}": lambda r, sort=sort: r.find(
            User, Query(where=eq("domain_id", 5), sort=sort, offset=3, limit=40)
        )
        for sort in ("lastname", "firstname", "status", "creation_date", "language")
    },
    **{
        f"all users by {sort}": lambda r, sort=sort: r.find(User, Query(sort=f"-{sort}", offset=3, limit=40))
        for sort in ("lastname", "firstname", "status", "creation_date", "language")
    },
    "active users": lambda r: r.active_users([5, 6]),
    "users by a prefix": lambda r: r.find(User, Query(where=Where("email", Op.LIKE, Pattern("u", open_end=True)))),
    "rules of a domain": lambda r: r.find(
        SenderRule, Query(where=every(eq("domain_id", 5), Where("user_id", Op.NULL)))
    ),
    "rules of a user": lambda r: r.find(SenderRule, Query(where=every(eq("user_id", 5), eq("generation", 0)))),
    "deliveries of a mail": lambda r: r.find(Delivery, Query(where=eq("mail_id", mail_id(7)))),
    "a release on its way": lambda r: r.first(Delivery, every(eq("mail_id", mail_id(7)), eq("release", True), LIVE)),
    "what is queued": lambda r: r.find(Delivery, Query(where=every(LIVE, Where("id", Op.GT, 5)), limit=40)),
    "copies of a mail": lambda r: r.find(Copy, Query(where=eq("mail_id", mail_id(7)))),
    "a message": lambda r: r.get(Message, mail_id(7)),
    "a folder": lambda r: r.letters(Query(where=INSIDE, sort="-sent", limit=40, total=True)),
    "a folder, further down": lambda r: r.letters(Query(where=INSIDE, sort="-sent", offset=40, limit=40)),
    "a folder, the other way": lambda r: r.letters(Query(where=INSIDE, sort="sent", offset=40, limit=40)),
    **{
        f"a folder by {sort}": lambda r, sort=sort: r.letters(Query(where=INSIDE, sort=sort, limit=40, total=True))
        for sort in ("subject", "-header_from", "size", "-received")
    },
    "a class of the quarantine": lambda r: r.letters(Query(where=CLASS, sort="-sent", offset=9, limit=40, total=True)),
    **{
        f"a search by {field}": lambda r, field=field: r.letters(
            Query(where=every(INSIDE, contains(field)), sort="-sent", limit=40, total=True)
        )
        for field in ("subject", "header_from", "header_to", "header_cc")
    },
    "a search by date": lambda r: r.letters(
        Query(where=every(INSIDE, Where("received", Op.GE, NOW)), sort="-sent", limit=40, total=True)
    ),
    "what is held": lambda r: r.letters(Query(where=every(HELD), sort="-id", limit=40, total=True)),
    "what is held, further down": lambda r: r.letters(
        Query(where=every(HELD, Where("id", Op.LT, 1000)), sort="-id", limit=40)
    ),
    "what is held as spam": lambda r: r.letters(
        Query(where=every(HELD, eq("category", "SPAM")), sort="-id", limit=40, total=True)
    ),
    "what is held for a domain": lambda r: r.letters(
        Query(where=every(HELD, eq("domain_id", 1), Where("id", Op.LT, 1000)), sort="-id", limit=40, total=True)
    ),
    "copies of some mails": lambda r: r.copies_of("u1@d1.test", [mail_id(21), mail_id(41)]),
    "some copies of a folder": lambda r: r.letters(
        Query(where=every(INSIDE, Where("id", Op.IN, [21, 41])), sort="-sent", limit=40, total=True)
    ),
    "the newest copy": lambda r: r.newest_copy(),
    "what left a mailbox": lambda r: r.uncopied(10),
    "copies behind the index": lambda r: r.find(Copy, Query(where=Where("id", Op.GT, 1990), limit=50)),
    "copies of a mailbox": lambda r: r.find(
        Copy, Query(where=every(eq("mailbox", "u1@d1.test"), Where("id", Op.GT, 1900)), limit=50)
    ),
    "a mail in a folder": lambda r: r.letters(Query(where=every(INSIDE, eq("mail_id", mail_id(21))))),
}

# What an index alone, or a table by its ids, is walked through for: these read exactly what they answer.
WHOLE_INDEX = {
    "what left a mailbox": "SCAN u",
    "senders": "domain_by2",
    "customers of providers": "domain_by4",
    "trusted_subnets": "domain_by2",
    "all users by lastname": "COVERING INDEX user_by4",
    "all users by firstname": "COVERING INDEX user_by6",
    "all users by status": "COVERING INDEX user_by8",
    "all users by creation_date": "COVERING INDEX user_by10",
    "all users by language": "COVERING INDEX user_by12",
    "queued": "delivery_by2",
    "live": "delivery_by2",
    "states": "delivery_by2",
    "what is held": "COVERING INDEX copy_by",
    "what is held as spam": "COVERING INDEX copy_by",
}


def scans(plans: list[tuple[str, str]], allowed: str = "") -> list[tuple[str, str]]:
    return [
        (plan, sql)
        for plan, sql in plans
        if plan.startswith("SCAN")
        and not (allowed and allowed in plan)
        and "CONSTANT ROW" not in plan
        and "SUBQUERY" not in plan
        and not plan.startswith("SCAN (subquery-")  # the rows that a statement brings along
        and "json_each" not in plan
    ]


@pytest.mark.parametrize("name", ASKED)
def test_no_question_scans_a_table(connection: sqlite3.Connection, name: str) -> None:
    watched = Watched(connection)
    ASKED[name](Reader(watched, str))  # type: ignore[arg-type]
    assert watched.plans
    assert scans(watched.plans, WHOLE_INDEX.get(name, "")) == []


FOLDERS = [name for name in ASKED if name.startswith(("a folder", "a class", "a search"))]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_counted_sorted_and_searched_by_the_index_alone(connection: sqlite3.Connection, name: str) -> None:
    """Rules 23: no row but those of the window is opened."""
    watched = Watched(connection)
    ASKED[name](Reader(watched, str))  # type: ignore[arg-type]
    walked = [plan for plan, _ in watched.plans if "mailbox=?" in plan]
    assert walked and all("COVERING INDEX copy_by0" in plan for plan in walked)


@pytest.mark.parametrize(
    "name", ["a folder", "a folder, further down", "a folder, the other way", "a class of the quarantine"]
)
def test_a_folder_in_its_usual_order_is_read_and_skipped_by_the_index_alone(
    connection: sqlite3.Connection, name: str
) -> None:
    watched = Watched(connection)
    ASKED[name](Reader(watched, str))  # type: ignore[arg-type]
    walked = [plan for plan, _ in watched.plans if "mailbox=?" in plan]
    assert walked and all("copy_by0" in plan for plan in walked)
    assert all("COVERING INDEX copy_by0" in plan for plan in walked)
    # Only the rows of the window are sorted, by the statement around the walk.
    assert sum("TEMP B-TREE" in plan for plan, _ in watched.plans) == 1


@pytest.mark.parametrize("down", [False, True])
def test_a_list_of_rules_goes_on_behind_a_row_by_the_index_alone(connection: sqlite3.Connection, down: bool) -> None:
    """An export's chunk reads its own rows, not all of the owner's again: one owner's are all alike in their order."""
    watched = Watched(connection)
    mine = every(eq("owner", "d1.test"), eq("generation", 0))
    tie = every(eq("owner", "d1.test"), Where("id", Op.LT if down else Op.GT, 5000))
    if down:
        behind: Condition = AnyOf((Where("owner", Op.LT, "d1.test"), Where("owner", Op.NULL), tie))
    else:
        behind = every(Where("owner", Op.GE, "d1.test"), AnyOf((Where("owner", Op.GT, "d1.test"), tie)))
    query = Query(where=every(mine, every(behind)), sort="-owner" if down else "owner", limit=500)
    found = Reader(watched, str).find(SenderRule, query).items  # type: ignore[arg-type]
    assert [row.id for row in found] == [*(range(4990, 0, -10) if down else range(5010, 10_010, 10))]
    # Only the rows of the window are sorted, by the statement around the walk.
    assert sum("TEMP B-TREE" in plan for plan, _ in watched.plans) == 1
    assert [plan for plan, _ in watched.plans if "sender_rule_by3 (owner=? AND generation=? AND rowid" in plan]


def test_no_verb_of_the_mail_road_scans_a_table(connection: sqlite3.Connection) -> None:
    watched = Watched(connection)
    connection.execute("BEGIN")
    writer = Writer(watched, str, clock=lambda: NOW, refused_bytes=1000)  # type: ignore[arg-type]
    writer.mail = Mail(watched)  # type: ignore[arg-type]
    row = writer.live(limit=1)[0]
    writer.settle(row)
    done = [msgspec.structs.replace(each, state=State.DELIVERED) for each in writer.live(limit=3)]
    for each in done:
        writer.remove(Copy, eq("mail_id", each.mail_id))
    writer.mail.exchange(done, [Arrival(message(9002), Body(1, b"x"), [], [delivery(9002)], [], NOW)])
    for start, end in (("UPDATE OR FAIL body", ""), ("DELETE FROM body", "IN ((?), (?))")):  # one came for three
        assert any(sql.startswith(start) and sql.endswith(end) for _, sql in watched.plans)
    writer.enqueue([delivery(7)])
    writer.mail.release([mail_id(7), mail_id(8)])
    writer.refuse(message(9001), [], NOW)
    writer.remove(Copy, eq("mail_id", mail_id(9)))
    writer.change(Copy, 12, seen=True)
    writer.add(domain("new.test"))
    writer.add(user("new@new.test"))
    forget_refused(watched, writer.mail)  # type: ignore[arg-type]
    writer.change(Domain, 3, status="DELETED", purge_date=NOW - 1)
    for _ in range(5):
        purge(watched, writer.mail, NOW + 10**12, 10)  # type: ignore[arg-type]
    connection.execute("ROLLBACK")
    found = scans(watched.plans, "delivery_by2")  # the live deliveries, for those of a domain that is erased
    # The refused, of which it takes 20, and accounts that are gone, of which it takes as few; the numbers that each
    # table has given, once for many deliveries.
    few = {"SCAN trace USING INDEX trace_refused", "SCAN departed"}
    assert {plan for plan, _ in found} <= {*few, "SCAN sqlite_sequence"}


ORDERS = [name for name in ASKED if name.startswith(("all users by", "users of a domain by"))]


@pytest.mark.parametrize("name", ORDERS)
def test_accounts_by_what_they_are_listed_by_are_not_sorted(connection: sqlite3.Connection, name: str) -> None:
    watched = Watched(connection)
    ASKED[name](Reader(watched, str))  # type: ignore[arg-type]
    assert any("COVERING INDEX user_by" in plan for plan, _ in watched.plans)
    assert sum("TEMP B-TREE" in plan for plan, _ in watched.plans) == 1  # the rows of the window alone


LOOK_UPS: dict[str, Callable[[Reader], Any]] = {
    "a domain": lambda r: r.domain("d9999.test"),
    "rules": lambda r: r.sender_rules({"d1.test", "u@d1.test"}, {"sender10@out.test", "out.test"}, NOW),
    "nobody": lambda r: r.first(User, eq("email", "none@d1.test")),
    "active users of a domain": lambda r: r.active_users([5]),
}


def steps_of(connection: sqlite3.Connection, act: Callable[[], object]) -> int:
    """Return how many instructions of SQLite's machine something takes."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(step, 1)
    try:
        act()
    finally:
        connection.set_progress_handler(None, 1)
    return steps


@pytest.mark.parametrize("name", LOOK_UPS)
def test_looking_up_takes_no_more_steps_in_a_large_store(connection: sqlite3.Connection, name: str) -> None:
    assert 0 < steps_of(connection, lambda: LOOK_UPS[name](Reader(connection, str))) < 1000


def test_a_slice_of_the_purge_looks_at_no_more_copies_that_releases_need_than_it_may(
    connection: sqlite3.Connection,
) -> None:
    """Each slice looked at all that the ones before had spared: with 30,000 it held the writer for 0.15 s."""
    connection.execute("BEGIN")
    connection.execute("UPDATE copy SET expires_at = ? + id", (NOW,))
    connection.execute("UPDATE delivery SET release = 1 WHERE id <= 1900")
    connection.execute("UPDATE delivery SET state = 'delivered' WHERE id > 1900")
    writer = Writer(connection, str, clock=lambda: NOW, refused_bytes=1000)
    spared, gone, steps = 0, 0, []
    more = True
    while more:
        found: list[Purged] = []
        steps.append(steps_of(connection, lambda: found.append(writer.purge(NOW + DAY, 200, spared))))  # noqa: B023
        spared, gone, more = found[0].spared, gone + found[0].copies, found[0].more
    connection.execute("ROLLBACK")
    assert (spared, gone, len(steps)) == (1900, 100, 11)
    assert max(steps[:9]) < 2 * steps[0] < 40_000


@pytest.mark.parametrize("sort", ["subject", "-size", "sent", "-sent"])
def test_a_window_near_the_end_is_counted_from_there(connection: sqlite3.Connection, sort: str) -> None:
    reader = Reader(connection, str)
    whole = reader.letters(Query(where=INSIDE, sort=sort, total=True))
    assert whole.total == len(whole.items) == 100
    for offset in (0, 30, 49, 51, 60, 93, 99, 100):
        for limit in (None, 7, 40):
            page = reader.letters(Query(where=INSIDE, sort=sort, offset=offset, limit=limit, total=True))
            assert page.items == whole.items[offset:][:limit]
