"""Whose kept mail is: it stays with its account, whatever becomes of addresses, and comes to nobody else."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.api.kept import GTUBE, Desk, mail, open_desk
from tests.house import queued_as

from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.query import All, Query, eq
from gatepost.model.stored import Delivery
from gatepost.model.tenant import Domain, Former, User
from gatepost.mta import keeping
from gatepost.store.check import verify
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

BOB, NEW = "bob@served.example", "robert@served.example"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk
        store = desk.house.store
        assert [flaw for flaw in verify(store.path, store._settings) if flaw.grave] == []


async def take(desk: Desk, subject: str, *recipients: str, spam: bool = False) -> str:
    """Have a mail come in; return its id."""
    raw = mail(subject, b"needle " + (GTUBE if spam else b"hay"), message_id=subject)
    reply = await desk.house.send(raw, *(recipients or (BOB,)))
    assert reply.code == 250, reply
    return queued_as(reply)


async def seen(desk: Desk, who: str, folder: str = "INBOX", *, token: str = "", query: str = "") -> list[str]:
    """The subjects in a folder; its counts and the body search must say the same."""
    root = f"/users/{who}/emails"
    found = sorted(each["subject"] for each in await desk.get(f"{root}/{folder}{query}", token=token))
    folders = {each["name"]: each for each in await desk.get(f"{root}/folders?fields=STATS", token=token)}
    assert query or folders[folder]["messageCount"] == len(found)
    if token:
        searched = await desk.get(f"{root}/{folder}?body=needle", token=token)
        assert query or sorted(each["subject"] for each in searched) == found
    return found


async def make(desk: Desk, email: str) -> str:
    """Make an account over the API; return its shown id."""
    domain = desk.house.store.reader.domain("served.example")
    assert domain
    draft = {"email": email, "status": "ENABLED", "domainId": desk.ids.show(domain.id)}
    answer = await desk.ask("POST", "/users", draft)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.headers["location"].rpartition("/")[2] if not answer.content else answer.json()["id"])


async def delete(desk: Desk, who: str) -> None:
    assert (await desk.ask("DELETE", f"/users/{who}")).status_code in (200, 204)


async def rename(desk: Desk, who: str, email: str) -> None:
    answer = await desk.ask("PATCH", f"/users/{who}", {"email": email})
    assert answer.status_code in (200, 204), answer.text


def number(desk: Desk, email: str = BOB) -> str:
    user = desk.house.store.reader.first(User, eq("email", email))
    assert user
    return desk.ids.show(user.id)


async def refused(desk: Desk, path: str, token: str = "") -> int:
    return (await desk.ask("GET", path, token=token)).status_code


async def test_a_new_account_under_an_old_address_sees_nothing_of_the_old_ones(desk: Desk) -> None:
    old = await take(desk, "old")
    await desk.house.gatepost.indexer.run()
    gone = number(desk)
    await delete(desk, gone)
    await make(desk, BOB)
    token = await desk.token_of(BOB)
    assert await seen(desk, BOB, token=token) == []
    for name in (old, quote("<old@world.example>")):
        assert await refused(desk, f"/users/{BOB}/emails/INBOX/{name}", token) == 404
    assert await refused(desk, f"/users/{gone}/emails/INBOX", token) == 403
    await take(desk, "new")
    assert await seen(desk, BOB, token=token) == ["new"]
    await desk.house.gatepost.indexer.run()
    assert await seen(desk, BOB, token=token) == ["new"]


async def test_what_an_account_left_is_for_the_domains_administrators_until_its_term(desk: Desk) -> None:
    await take(desk, "old")
    gone = number(desk)
    await delete(desk, gone)
    helper = await desk.helper("served.example")
    for who in (BOB, gone):  # by its address as long as nobody else has it, and by its id
        (item,) = await desk.get(f"/users/{who}/emails/INBOX", token=helper)
        assert item["subject"] == "old" and f"/users/{who}/" in item["uri"]
    await make(desk, BOB)
    (item,) = await desk.get(f"/users/{gone}/emails/INBOX", token=helper)
    assert await refused(desk, item["uri"].partition("gate.example")[2], helper) == 200
    assert await desk.get(f"/users/{BOB}/emails/INBOX", token=helper) == []
    await desk.house.domain("other.example")
    assert await refused(desk, f"/users/{gone}/emails/INBOX", await desk.helper("other.example")) == 403
    await desk.house.store.write(lambda writer: writer.purge(desk.house.clock() + 10**12))
    assert await refused(desk, f"/users/{gone}/emails/INBOX", helper) in (403, 404)
    assert desk.house.store.reader.find(Former, Query(where=All(()))).items == []


async def test_several_accounts_of_one_address_are_shown_together_once_it_has_none(desk: Desk) -> None:
    await take(desk, "first")
    await delete(desk, number(desk))
    await take(desk, "between", spam=True)
    await make(desk, BOB)
    await take(desk, "second")
    await delete(desk, number(desk))
    await take(desk, "after")
    assert await seen(desk, BOB) == ["after", "first", "second"]
    assert await seen(desk, BOB, "Quarantine") == ["between"]
    assert await seen(desk, BOB, query="?sort=subject&pageSize=2&offset=1") == ["first", "second"]


async def test_an_account_keeps_its_mail_when_its_address_changes(desk: Desk) -> None:
    token, mine = desk.bob, number(desk)
    old = await take(desk, "old")
    await desk.house.gatepost.indexer.run()
    await rename(desk, mine, NEW)
    assert await seen(desk, NEW, token=token) == await seen(desk, mine, token=token) == ["old"]
    await take(desk, "new", NEW)
    assert await seen(desk, NEW, token=token) == ["new", "old"]
    assert await refused(desk, f"/users/{BOB}/emails/INBOX") == 404
    await make(desk, BOB)
    assert await seen(desk, BOB, token=await desk.token_of(BOB)) == []
    await delete(desk, mine)
    assert await seen(desk, NEW) == ["new", "old"]
    assert await refused(desk, f"/users/{BOB}/emails/INBOX/{old}") == 404


async def test_a_release_goes_where_the_account_is_now(desk: Desk) -> None:
    held = await take(desk, "held", spam=True)
    await rename(desk, number(desk), NEW)
    path = f"/users/{NEW}/emails/Quarantine/{held}"
    assert (await desk.ask("POST", f"{path}/release", token=desk.bob)).status_code == 204
    (way,) = desk.house.store.reader.find(Delivery, Query(where=eq("mail_id", held))).items
    assert way.recipient == NEW
    assert (await desk.get(path, token=desk.bob))["releaseStatus"] is not None


async def test_what_an_account_left_is_not_released_to_another(desk: Desk) -> None:
    held = await take(desk, "held", spam=True)
    gone = number(desk)
    await delete(desk, gone)
    path = f"/users/{gone}/emails/Quarantine/{held}/release"
    await make(desk, BOB)
    assert (await desk.ask("POST", path)).status_code == 422
    await delete(desk, number(desk))
    assert (await desk.ask("POST", path)).status_code == 204
    (way,) = desk.house.store.reader.find(Delivery, Query(where=eq("mail_id", held))).items
    assert way.recipient == BOB


async def test_an_account_is_given_what_came_while_its_address_had_none(
    desk: Desk,
) -> None:
    for subject in ("one", "two", "three"):
        await take(desk, subject, NEW)
    await desk.house.gatepost.indexer.run()
    helper = await desk.helper("served.example")
    assert await seen(desk, NEW, token="") == ["one", "three", "two"]
    assert len(await desk.get(f"/users/{NEW}/emails/INBOX", token=helper)) == 3
    made = await make(desk, NEW)
    token = await desk.token_of(NEW)
    assert await seen(desk, NEW, token=token) == ["one", "three", "two"]  # before the index has looked again
    await desk.house.gatepost.indexer.run()
    assert await seen(desk, NEW, token=token) == ["one", "three", "two"]
    await delete(desk, made)
    await make(desk, NEW)
    assert await seen(desk, NEW, token=await desk.token_of(NEW)) == []  # it was the first one's


async def test_an_account_that_moves_to_an_address_finds_what_waits_there(desk: Desk) -> None:
    await take(desk, "waits", NEW)
    await rename(desk, number(desk), NEW)
    assert await seen(desk, NEW, token=desk.bob) == ["waits"]


async def test_auto_provisioning_hands_over_what_was_held_before(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 7; what is more than one slice comes with the sweep."""
    domain = desk.house.store.reader.domain("served.example")
    assert domain
    held = [await take(desk, f"held{count}", NEW, spam=True) for count in range(3)]
    whole = Writer.hand_over
    monkeypatch.setattr(keeping.Writer, "hand_over", lambda writer, address: whole(writer, address, 4))
    await desk.house.store.write(lambda writer: writer.change(Domain, domain.id, auto_provisioning_on=True))
    await take(desk, "clean", NEW)
    token = await desk.token_of(NEW)
    assert len(await seen(desk, NEW, "Quarantine", token=token)) == 1  # and three in the archive
    await desk.house.gatepost.sweep.run()
    assert len(await seen(desk, NEW, "Quarantine", token=token)) == len(held)
    assert await seen(desk, NEW, token=token) == ["clean"]


async def test_who_sends_without_signing_in_keeps_it_as_his_own(desk: Desk) -> None:
    policy = desk.house.store.reader.first(Policy, All(()))
    domain = desk.house.store.reader.domain("served.example")
    assert policy and domain
    await desk.house.store.write(lambda writer: writer.change(Policy, policy.id, outgoing=True))
    await desk.house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
    raw = mail("sent").replace(b"Ada <ada@world.example>", BOB.encode())
    reply = await desk.house.send(raw, "ada@world.example", sender=BOB, role=Role.TRUSTED)
    assert reply.code == 250, reply
    assert await seen(desk, BOB, "Sent") == ["sent"]
    (copy,) = desk.house.copies("Sent")
    assert copy.owner == str(copy.user_id)
