"""What a mail leaves in the store, and when its bytes, its rows and its story go."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.store.samples import (
    DAY,
    NOW,
    copy,
    delivery,
    domain,
    event,
    full,
    keep,
    mail_id,
    message,
    open_store,
    user,
)

from gatepost.model.email import Email, EmailStatus
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Pattern, Query, Where, eq, every
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.stored import Attempt, Copy, Delivery, Message, State, TraceEvent
from gatepost.model.tenant import Domain, DomainAlias, DomainStatus, User
from gatepost.store.store import Pace, Refusals, Store, Writer

pytestmark = pytest.mark.anyio


async def kept(store: Store, number: int = 1, **how: Any) -> Any:
    return await store.write(lambda writer: keep(writer, number, **how))


def there(body: Body) -> bool:
    return body.path is not None and Path(body.path).exists()


async def settled(store: Store, number: int, state: State, **changes: Any) -> None:
    (row,) = store.reader.find(Delivery, Query(where=eq("mail_id", mail_id(number)), limit=1)).items
    await store.write(lambda writer: writer.settle(msgspec.structs.replace(row, state=state, **changes)))


async def purge(store: Store, now: int, limit: int = 200) -> Any:
    return await store.write(lambda writer: writer.purge(now, limit))


async def spooled(store: Store, number: int, size: int = 300_000) -> Body:
    draft = store.spool.draft()
    draft.write(b"x" * size)
    return await store.spool.adopt(await store.spool.finish(draft), mail_id(number))


def nothing_left(store: Store, number: int) -> bool:
    where = eq("mail_id", mail_id(number))
    return (
        store.reader.get(Message, mail_id(number)) is None
        and store.reader.body(mail_id(number)) is None
        and store.reader.trace(mail_id(number)) == []
        and store.reader.count(Copy, where) == store.reader.count(Delivery, where) == 0
    )


async def test_a_mail_is_kept_with_all_that_follows_from_it(store: Store) -> None:
    ids = await kept(store, copies=2, deliveries=2)
    assert ids.copies == [1, 2] and ids.deliveries == [1, 2]
    assert store.reader.get(Message, mail_id(1)) == message(1)
    assert store.reader.body(mail_id(1)) == Body(5, b"mail\n")
    assert store.reader.trace(mail_id(1)) == [event()]
    assert store.reader.get(Delivery, 2) == msgspec.structs.replace(delivery(1), id=2)
    assert store.reader.get(Copy, 1) == msgspec.structs.replace(copy(1), id=1)


async def test_the_same_mail_is_never_kept_twice(store: Store) -> None:
    await kept(store)
    with pytest.raises(Problem) as raised:
        await kept(store)
    assert raised.value.kind is Kind.CONFLICT
    assert store.reader.count(Delivery, every()) == 1


async def test_bytes_stay_while_a_copy_or_a_delivery_needs_them(store: Store) -> None:
    await kept(store, copies=1, deliveries=1)
    await settled(store, 1, State.DELIVERED, done_at=NOW)
    assert store.reader.body(mail_id(1)) is not None
    await purge(store, NOW + 31 * DAY)
    assert nothing_left(store, 1)


async def test_the_last_delivery_takes_the_bytes_along_and_leaves_the_story(store: Store) -> None:
    await kept(store, deliveries=1)
    log = [Attempt(at=NOW, hop="mx.test[192.0.2.9]:25", code=250, reply="ok")]
    await settled(store, 1, State.DELIVERED, done_at=NOW, log=log, remote_id="4XyZ", attempts=1, last_reply="250 ok")
    assert store.reader.body(mail_id(1)) is None
    done = store.reader.first(Delivery, eq("mail_id", mail_id(1)))
    assert (done.state, done.log, done.remote_id, done.attempts) == (State.DELIVERED, log, "4XyZ", 1)
    assert store.reader.messages("4xyz") == [message(1)]
    await purge(store, NOW + 30 * DAY)
    assert nothing_left(store, 1)


async def test_a_delivery_has_room_for_what_its_first_try_says(store: Store) -> None:
    def pages(writer: Writer) -> int:
        (count,) = writer._connection.execute("PRAGMA page_count").fetchone()
        return int(count)

    kept = [await store.write(lambda writer, n=number: keep(writer, n, copies=1)) for number in range(1, 101)]
    before = await store.write(pages)
    said = "250 2.0.0 Ok: queued as 4bXyZ01234z56789"
    tried = Attempt(at=NOW, hop="mx.in.test[192.0.2.25]:25", tls="TLSv1.3", code=250, reply=said[4:], took=12)
    for number, ids in enumerate(kept, 1):
        changes = {"state": State.DELIVERED, "attempts": 1, "done_at": NOW, "last_reply": said, "log": [tried]}
        row = delivery(number, id=ids.deliveries[0], remote_id="4bXyZ01234z56789", **changes)
        await store.write(lambda writer, row=row: writer.settle(row))
        assert store.reader.get(Delivery, row.id) == row
    assert await store.write(pages) == before


async def test_copies_move_to_another_mailbox_a_slice_at_a_time_and_stay_as_they_are(store: Store) -> None:
    for number in (1, 2, 3):
        await kept(store, number, copies=1)
    old, new = "bob@in.test", "robert@in.test"
    released = {"seen": True, "released_at": NOW, "held_for": [old, "x@out.test"]}
    await store.write(lambda writer: writer.change(Copy, 2, **released))
    told = msgspec.structs.replace(full(Email), mail_id=mail_id(2), status=EmailStatus.DELIVERED, message=None)
    told = await store.write(lambda writer: writer.add(told))
    before = store.reader.find(Copy, Query()).items
    assert {copy.mailbox for copy in before} == {old}
    moved = [await store.write(lambda writer: writer.move_copies(old, new, 3, 2)) for _ in range(3)]
    assert moved == [2, 1, 0]
    after = store.reader.find(Copy, Query()).items
    assert [copy.id for copy in after] == [4, 5, 6]
    expected = {copy.mail_id: msgspec.structs.replace(copy, mailbox=new) for copy in before}
    expected[mail_id(2)] = msgspec.structs.replace(expected[mail_id(2)], held_for=[new, "x@out.test"])
    assert {copy.mail_id: msgspec.structs.replace(copy, id=expected[copy.mail_id].id) for copy in after} == expected
    assert [each.mailbox for each in store.reader.uncopied(9)] == [old] * 3, "the body search hears of it"
    assert store.reader.find(Email, Query()).items == [told], "what applications are told of it does not change"


@pytest.mark.parametrize("state", [State.QUEUED, State.HELD])
async def test_87_what_is_queued_or_held_outlives_every_term(store: Store, state: State) -> None:
    await kept(store, copies=1)
    await settled(store, 1, state)
    purged = await purge(store, NOW + 400 * DAY)
    assert purged.copies == 1 and purged.bodies == 0
    assert store.reader.body(mail_id(1)) is not None and store.reader.trace(mail_id(1)) != []
    await settled(store, 1, State.BOUNCED, done_at=NOW + 400 * DAY)
    assert store.reader.body(mail_id(1)) is None
    await purge(store, NOW + 402 * DAY)
    assert nothing_left(store, 1)


async def test_87_what_is_being_released_outlives_its_copy(store: Store) -> None:
    await kept(store, copies=1, deliveries=0)
    await store.write(lambda writer: writer.enqueue([delivery(1, release=True)]))
    await purge(store, NOW + 31 * DAY)
    assert store.reader.body(mail_id(1)) == Body(5, b"mail\n")
    await settled(store, 1, State.DELIVERED, done_at=NOW + 31 * DAY)
    await purge(store, NOW + 33 * DAY)
    assert nothing_left(store, 1)


async def test_87_the_archive_is_write_once(store: Store) -> None:
    row = copy(1, folder="Archive")
    await store.write(lambda writer: writer.keep(message(1), Body(2, b"x\n"), [row], [], [event()], NOW + DAY))
    for fields in ({"expires_at": NOW}, {"folder": "INBOX"}, {"category": "CLEAN"}, {"mail_id": mail_id(2)}):
        with pytest.raises(Problem) as raised:
            await store.write(lambda writer, fields=fields: writer.change(Copy, 1, **fields))
        assert raised.value.kind is Kind.UNPROCESSABLE
    with pytest.raises(Problem, match="end of its term"):
        await store.write(lambda writer: writer.remove(Copy, eq("id", 1)))
    changed = await store.write(lambda writer: writer.change(Copy, 1, seen=True, released_at=NOW))
    assert changed.seen and changed.expires_at == row.expires_at
    await purge(store, row.expires_at)
    assert store.reader.get(Copy, 1) is None


async def test_86_only_what_is_due_by_its_stored_time_goes(store: Store) -> None:
    for number in range(1, 4):
        row = copy(number, expires_at=NOW + number * DAY)
        await store.write(
            lambda writer, n=number, c=row: writer.keep(message(n), Body(2, b"x\n"), [c], [], [event()], NOW + 30 * DAY)
        )
    assert (await purge(store, NOW - DAY)).copies == 0
    assert (await purge(store, NOW + DAY - 1)).copies == 0
    assert (await purge(store, NOW + 2 * DAY)).copies == 2
    assert store.reader.body(mail_id(3)) is not None


async def test_a_removed_copy_takes_bytes_that_nobody_needs(store: Store) -> None:
    await kept(store, copies=2, deliveries=0)
    assert await store.write(lambda writer: writer.remove(Copy, eq("id", 1))) == 1
    assert store.reader.body(mail_id(1)) is not None
    await store.write(lambda writer: writer.remove(Copy, eq("id", 2)))
    assert store.reader.body(mail_id(1)) is None
    assert store.reader.get(Message, mail_id(1)) is not None  # its story is told until its term


async def test_a_mail_without_bytes_can_not_be_released(store: Store) -> None:
    await kept(store)
    await settled(store, 1, State.DELIVERED)
    with pytest.raises(Problem) as raised:
        await store.write(lambda writer: writer.enqueue([delivery(1, release=True)]))
    assert raised.value.kind is Kind.NOT_FOUND


async def test_purges_work_in_slices(store: Store) -> None:
    for number in range(1, 26):
        await kept(store, number, copies=1, deliveries=0)
    slices = []
    while not slices or slices[-1].more:
        slices.append(await purge(store, NOW + 400 * DAY, 10))
    assert [each.copies for each in slices] == [10, 10, 5]
    assert slices[0].folders == {"Quarantine": 10} and slices[0].traces == 10
    assert all(nothing_left(store, number) for number in range(1, 26))


# Large bodies.


async def test_a_spooled_body_is_a_file_until_nobody_needs_it(store: Store) -> None:
    body = await spooled(store, 1)
    await kept(store, body=body)
    assert store.reader.body(mail_id(1)) == Body(body.size, path=body.path)
    assert body.path == str(store.path / "spool" / "01" / mail_id(1))
    assert (store.path / "spool" / "01" / mail_id(1)).read_bytes() == b"x" * 300_000
    await settled(store, 1, State.DELIVERED)
    await store.write(lambda writer: None)
    assert not there(body) and store.reader.body(mail_id(1)) is None


async def test_a_file_whose_row_did_not_come_goes(store: Store) -> None:
    await kept(store, 1)
    draft = store.spool.draft()
    draft.write(b"x" * 300_000)
    finished = await store.spool.finish(draft)
    adopted = await store.spool.adopt(finished, mail_id(1))
    with pytest.raises(Problem):
        await kept(store, 1, body=adopted)
    store.spool.forget(finished)  # the caller may know it by its first path alone
    await store.write(lambda writer: None, pace=Pace.SLOW)
    await store.write(lambda writer: None)
    assert not there(adopted)


async def test_a_file_whose_row_came_stays_whoever_forgets_it(store: Store) -> None:
    body = await spooled(store, 1)
    await kept(store, 1, body=body)
    store.spool.forget(body)
    await store.write(lambda writer: None, pace=Pace.SLOW)
    assert there(body)


async def test_a_spooled_mail_that_nobody_keeps_leaves_no_file(store: Store) -> None:
    body = await spooled(store, 1)
    await kept(store, 1, body=body, deliveries=0)
    await store.write(lambda writer: None)
    assert not there(body)
    assert store.reader.trace(mail_id(1)) == [event()]


# Traces.


async def test_later_events_are_told_in_the_order_of_time(store: Store) -> None:
    await kept(store)
    late, early = event("late", NOW + 9), event("early", NOW + 3)
    await store.write(lambda writer: writer.note(mail_id(1), [late], NOW + 30 * DAY))
    await store.write(lambda writer: writer.note(mail_id(1), [early], NOW + 30 * DAY))
    assert store.reader.trace(mail_id(1)) == [event(), early, late]
    assert store.reader.trace(mail_id(2)) == []


async def test_text_that_is_no_unicode_is_mended_for_no_mail_may_fail_of_it(store: Store) -> None:
    bad = TraceEvent(at=NOW, event="x", text="a\udcff", data={"deep": ["\udc80", {"\ud800": 1}], "odd": {1, 2}})
    await store.write(
        lambda writer: writer.keep(message(1, subject="a\udcff"), Body(1, b"x"), [], [delivery(1)], [bad], NOW + DAY)
    )
    assert store.reader.get(Message, mail_id(1)).subject == "a?"
    assert store.reader.trace(mail_id(1))[0].text == "a?"


async def test_a_refused_mail_leaves_its_story_alone(store: Store) -> None:
    await store.write(lambda writer: writer.refuse(message(1, spooled=True), [event("no")], NOW + 7 * DAY))
    assert store.reader.messages(f"{1}@out.test") == [message(1)]
    assert store.reader.trace(mail_id(1)) == [event("no")]
    assert store.reader.body(mail_id(1)) is None
    assert store.reader.noted("refused") > 0
    await purge(store, NOW + 7 * DAY)
    assert nothing_left(store, 1) and store.reader.noted("refused") == 0


async def test_the_oldest_refusals_make_room_for_new_ones(directory: Path) -> None:
    store = open_store(directory, refused_bytes=20_000)
    for number in range(1, 101):
        await store.write(lambda writer, n=number: writer.refuse(message(n), [event("no")], NOW + DAY))
    assert 10_000 < store.reader.noted("refused") <= 20_000
    assert nothing_left(store, 1) and store.reader.trace(mail_id(100)) != []
    assert store.reader.noted("refused") == store.reader._number("SELECT sum(size) FROM trace WHERE refused = 1", [])
    store.close_sync()


async def test_without_a_budget_no_refusal_is_kept(directory: Path) -> None:
    store = open_store(directory, refused_bytes=0)
    await store.write(lambda writer: writer.refuse(message(1), [event("no")], NOW + DAY))
    assert nothing_left(store, 1)
    store.close_sync()


async def test_refusals_before_data_are_counted_by_hour(store: Store) -> None:
    hour = NOW // 3_600_000
    for _ in range(3):
        await store.write(lambda writer: writer.tally(hour, "192.0.2.0/24", "550 5.1.1", 5))
    await store.write(lambda writer: writer.tally(hour + 1, "192.0.2.0/24", "550 5.1.1"))
    assert store.reader.refusals() == [
        Refusals(hour, "192.0.2.0/24", "550 5.1.1", 15),
        Refusals(hour + 1, "192.0.2.0/24", "550 5.1.1", 1),
    ]
    await purge(store, NOW + 7 * DAY + 3_600_000)
    assert [each.hour for each in store.reader.refusals()] == [hour + 1]


# Folders.


def counts(store: Store, mailbox: str) -> list[tuple[str, str, int, int]]:
    return [(each.folder, each.category, each.total, each.unseen) for each in store.reader.folders(mailbox)]


async def test_folders_are_counted_as_they_change(store: Store) -> None:
    for number in range(1, 4):
        await kept(store, number, copies=1, deliveries=0)
    await store.write(lambda writer: writer.change(Copy, 1, seen=True))
    await store.write(lambda writer: writer.add(copy(3, folder="Archive")))
    await store.write(lambda writer: writer.add(copy(2, category="VIRUS")))
    assert counts(store, "BOB@in.test") == [
        ("Archive", "SPAM", 1, 1),
        ("Quarantine", "SPAM", 3, 2),
        ("Quarantine", "VIRUS", 1, 1),
    ]
    await store.write(lambda writer: writer.change(Copy, 1, mailbox="new@in.test"))
    assert counts(store, "new@in.test") == [("Quarantine", "SPAM", 1, 0)]
    await purge(store, NOW + 400 * DAY)
    assert store.reader.folders("bob@in.test") == store.reader.folders("new@in.test") == []


async def test_what_was_kept_for_another_account_is_told_apart(store: Store) -> None:
    """Of many mails none is looked for: the writer is not held up by them."""
    for number, owner in enumerate((None, None, 7, 8), start=1):
        await kept(store, number, copies=0, deliveries=1)
        await store.write(lambda writer, number=number, owner=owner: writer.add(copy(number, user_id=owner)))
    reader = store.reader
    assert [each.total for each in reader.folders("BOB@in.test", 7)] == [3]
    assert reader.may_keep_for_another("bob@in.test", 7) and reader.may_keep_for_another("bob@in.test", None)
    assert not reader.may_keep_for_another("new@in.test", None)
    await store.write(lambda writer: writer.change(Copy, 4, user_id=7))
    assert not reader.may_keep_for_another("bob@in.test", 7, look=4)
    await store.write(lambda writer: writer.change(Copy, 1, group_id=2))
    assert reader.may_keep_for_another("bob@in.test", 7, look=4)
    assert [each.total for each in reader.folders("bob@in.test", 7)] == [3]
    assert reader.may_keep_for_another("bob@in.test", 7, look=3)


async def test_a_folder_bears_another_mark_whenever_a_copy_came_or_went(store: Store) -> None:
    marks = []

    async def look() -> None:
        marks.append([each.mark for each in store.reader.folders("bob@in.test")])

    await kept(store, 1, copies=1, deliveries=0)
    await look()
    await store.write(lambda writer: writer.add(copy(1)))
    await look()
    await store.write(lambda writer: writer.remove(Copy, eq("id", 2)))
    await look()
    await store.write(lambda writer: writer.remove(Copy, eq("id", 1)))
    await store.write(lambda writer: writer.add(copy(1)))  # as it was at first
    await look()
    assert len({tuple(each) for each in marks}) == 4
    await store.write(lambda writer: writer.change(Copy, 3, seen=True))
    await look()
    assert marks[-1] == marks[-2]  # nothing came or went
    await store.write(lambda writer: writer.change(Copy, 3, mailbox="new@in.test"))
    await look()
    assert marks[-1] == []


async def test_a_copy_needs_its_mail(store: Store) -> None:
    with pytest.raises(Exception, match="NOT NULL"):
        await store.write(lambda writer: writer.add(copy(1)))
    assert store.reader.folders("bob@in.test") == []


async def test_letters_are_sorted_and_searched_by_the_members_of_both(store: Store) -> None:
    for number in range(1, 31):
        await kept(
            store, number, copies=1, deliveries=0, header_from=f"Person {number % 3}", has_attachments=number > 9
        )
    await kept(store, 31, copies=1, deliveries=0, sent=None)  # sorts by its arrival
    inside = every(eq("mailbox", "bob@in.test"), eq("folder", "Quarantine"))
    first = store.reader.letters(Query(where=inside, sort="-sent", limit=3, total=True))
    assert [letter.message.id for letter in first.items] == [mail_id(31), mail_id(1), mail_id(2)]
    assert first.total == 31
    second = store.reader.letters(Query(where=inside, sort="-sent", offset=3, limit=2))
    assert [letter.copy.mail_id for letter in second.items] == [mail_id(3), mail_id(4)]
    by_name = store.reader.letters(Query(where=inside, sort="header_from", limit=1)).items[0]
    assert by_name.message.id == mail_id(31)  # "Ann"
    subject = Where("subject", Op.LIKE, Pattern("SUBJECT 000", open_start=True, open_end=True))
    found = store.reader.letters(Query(where=every(inside, subject, eq("has_attachments", False)), total=True))
    assert found.total == 9 and all(not letter.message.has_attachments for letter in found.items)
    assert [letter.copy.id for letter in store.reader.letters(Query(where=eq("id", 7))).items] == [7]
    assert store.reader.letters(Query(where=eq("message_id", "<7@out.test>"))).items[0].copy.id == 7


# Deliveries.


async def test_all_that_is_not_done_is_walked_through_in_chunks(store: Store) -> None:
    await store.write(
        lambda writer: writer.keep(
            message(1), Body(1, b"x"), [], [delivery(1, due=n) for n in range(1203)], [event()], NOW
        )
    )
    await settled(store, 1, State.DELIVERED)
    held = msgspec.structs.replace(store.reader.get(Delivery, 2), state=State.HELD)
    await store.write(lambda writer: writer.settle(held))
    chunks = list(store.reader.queued())
    assert [len(chunk) for chunk in chunks] == [500, 500, 202]
    assert [each.id for chunk in chunks for each in chunk] == list(range(2, 1204))
    assert store.reader.states() == {"queued": 1201, "held": 1}
    assert [each.id for each in store.reader.live(after=1200, limit=2)] == [1201, 1202]


# Configuration.


async def test_a_domain_is_found_by_each_of_its_names(store: Store) -> None:
    row = await store.write(lambda writer: writer.add(domain("in.test", outgoing_subnets=["192.0.2.0/24"])))
    await store.write(lambda writer: writer.add(domain("other.test")))
    await store.write(lambda writer: writer.add(DomainAlias(domain_id=row.id, name="alias.test")))
    assert store.reader.domain("in.test") == store.reader.domain("ALIAS.test") == row
    assert store.reader.domain("no.test") is None
    assert store.reader.naming("outgoing_subnets") == [row]
    assert store.reader.trusted_subnets() == ["192.0.2.0/24"]
    await store.write(lambda writer: writer.change(Domain, row.id, status=DomainStatus.DISABLED))
    assert store.reader.trusted_subnets() == []


async def test_sender_rules_count_in_the_generation_of_their_owner(store: Store) -> None:
    site = await store.write(lambda writer: writer.add(domain()))
    owner = await store.write(lambda writer: writer.add(user(domain_id=site.id)))

    def rule(**changes: Any) -> SenderRule:
        row = SenderRule(domain_id=site.id, owner=site.name, value="out.test", type=SenderType.BLOCK, created_date=NOW)
        return msgspec.structs.replace(row, **changes)

    async def add(row: SenderRule) -> int:
        return (await store.write(lambda writer: writer.add(row))).id

    ours = await add(rule())
    his = await add(rule(owner=owner.email, user_id=owner.id, value="ann@out.test"))
    await add(rule(type=SenderType.ALLOW, expire_at=NOW))
    lasting = await add(rule(type=SenderType.PROTECTED, expire_at=NOW + 1))
    await add(rule(value="else.test"))
    aside = await add(rule(generation=1, value="ann@out.test"))
    asked = ({site.name, owner.email}, {"out.test", "ann@out.test"}, NOW)
    assert [each.id for each in store.reader.sender_rules(*asked)] == [ours, his, lasting]
    await store.write(lambda writer: writer.change(Domain, site.id, sender_generation=1))
    assert [each.id for each in store.reader.sender_rules(*asked)] == [his, aside]
    assert (
        store.reader.sender_rules(set(), {"out.test"}, NOW) == store.reader.sender_rules({site.name}, set(), NOW) == []
    )


async def test_a_domain_whose_day_has_come_is_erased_with_all_it_owned(store: Store) -> None:
    def gone(writer: Writer) -> int:
        row = writer.add(domain("gone.test", status=DomainStatus.DELETED, purge_date=NOW))
        stays = writer.add(domain("stays.test"))
        writer.add(DomainAlias(domain_id=row.id, name="also.test"))
        for number in range(30):
            writer.add(user(f"u{number}@gone.test", domain_id=row.id))
        writer.add(user("u@stays.test", domain_id=stays.id))
        copies = [copy(1, domain_id=row.id, mailbox=f"u{n}@gone.test", folder="Archive") for n in range(15)]
        ways = [delivery(1, domain_id=row.id), delivery(1, domain_id=stays.id)]
        writer.keep(message(1), Body(1, b"x"), copies, ways, [event()], NOW + DAY)
        return row.id

    gone_id = await store.write(gone)
    assert not (await purge(store, NOW - 1, 10)).more
    slices = 0
    before = store.generation
    while (purged := await purge(store, NOW, 10)).more:
        slices += 1
    assert store.generation > before  # what was read of it is no longer true
    assert slices > 6 and purged.domains == 0
    assert store.reader.get(Domain, gone_id) is None and store.reader.domain("also.test") is None
    assert [row.email for row in store.reader.find(User, Query()).items] == ["u@stays.test"]
    assert store.reader.count(Copy, every()) == 0
    assert [row.state for row in store.reader.find(Delivery, Query()).items] == [State.DELETED, State.QUEUED]
    assert store.reader.body(mail_id(1)) is not None  # the other domain's delivery needs it


async def test_a_purge_and_a_release_at_once_leave_a_mail_that_can_be_sent(store: Store) -> None:
    for number in range(1, 21):
        await kept(store, number, copies=1, deliveries=0)

    async def release(number: int) -> bool:
        try:
            await store.write(lambda writer: writer.enqueue([delivery(number)]))
        except Problem:
            return False
        return True

    outcomes = await asyncio.gather(*(release(n) for n in range(1, 21)), purge(store, NOW + 400 * DAY, 5))
    for number, released in enumerate(outcomes[:-1], 1):
        assert (store.reader.body(mail_id(number)) is not None) or not released
