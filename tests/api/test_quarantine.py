"""What is held over all mailboxes, from mail that really came in: who sees it, how it is chosen, released, deleted."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.kept import BASE, EICAR, GTUBE, Desk, mail, open_desk
from tests.house import queued_as

from gatepost.model.policy import Policy
from gatepost.model.query import All, Query, eq
from gatepost.model.stored import Copy
from gatepost.model.tenant import User
from gatepost.services.quarantine import Quarantine
from gatepost.services.rights import Book
from gatepost.store.store import Reader

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        policy = desk.house.store.reader.first(Policy, All(()))
        assert policy is not None and policy.quarantine_props is not None
        keeps = msgspec.structs.replace(policy.quarantine_props, store_virus=True)
        await desk.house.store.write(lambda writer: writer.change(Policy, policy.id, quarantine_props=keeps))
        yield desk


async def hold(desk: Desk, subject: str, *recipients: str, body: bytes = GTUBE) -> str:
    reply = await desk.house.send(mail(subject, body), *(recipients or ("bob@served.example",)))
    assert reply.code == 250, reply
    return queued_as(reply)


async def listed(desk: Desk, query: str = "", **more: Any) -> list[str]:
    return [each["subject"] for each in await desk.get(f"/quarantine{query}", **more)]


async def test_what_is_held_for_all_mailboxes_is_listed_the_newest_first(desk: Desk) -> None:
    await desk.house.domain("other.example", hop=("127.0.0.1", desk.house.sink.port))
    await desk.house.user("eve@other.example")
    desk.house.sink.script.clear()
    for subject, to in (("One", "bob"), ("Two", "lost"), ("Three", "bob")):
        await hold(desk, subject, f"{to}@served.example")
    await hold(desk, "Four", "eve@other.example")
    await desk.house.send(mail("Clean"), "bob@served.example")
    assert await listed(desk) == ["Four", "Three", "Two", "One"]
    helper = await desk.helper("served.example")
    assert await listed(desk, token=helper) == ["Three", "Two", "One"]
    assert await listed(desk, token=desk.bob) == ["Three", "One"]
    of_other = {row["domainId"] for row in await desk.get("/quarantine?subject=Four")}.pop()
    assert await listed(desk, f"?domainId={of_other}") == ["Four"]
    foreign = await desk.ask("GET", f"/quarantine?domainId={of_other}", token=helper)
    assert foreign.status_code == 403
    assert (await desk.ask("GET", "/quarantine?domainId=00000")).status_code == 404


async def test_a_held_mail_shows_whose_it_is_and_why_and_leads_to_its_content(desk: Desk) -> None:
    mail_id = await hold(desk, "One")
    (held,) = await desk.get("/quarantine")
    assert held == await desk.get(f"/quarantine/{held['id']}")
    assert (held["mailId"], held["mailbox"], held["folder"]) == (mail_id, "bob@served.example", "Quarantine")
    assert (held["category"], held["infected"], held["heldFor"]) == ("SPAM", False, [])
    assert "GTUBE" in held["reason"] and held["sender"] == "ada@world.example"
    read = await desk.get(held["uri"].removeprefix(BASE) + "?fields=BODY", headers={"X-Access-Reason": "asked to"})
    assert GTUBE.decode() in read["body"]


ASKED: list[tuple[str, list[str]]] = [
    ("?mailbox=BOB@Served.Example", ["Two", "One"]),
    ("?mailbox=bob*", ["Two", "One"]),
    ("?category=virus", ["Two"]),
    ("?category=bad-headers", []),
    ("?sender=ada@*", ["Two", "One"]),
    ("?sender=", []),
    ("?subject=*w*", ["Two"]),
    ("?category=SPAM&subject=o*&sender=*example", ["One"]),
    ("?category=SPAM&subject=t*", []),
]


async def test_all_that_is_asked_for_must_hold(desk: Desk) -> None:
    await hold(desk, "One")
    await hold(desk, "Two", body=EICAR)
    for query, found in ASKED:
        assert await listed(desk, query) == found, query
        answer = await desk.ask("GET", f"/quarantine{query}")
        assert answer.headers["x-total-count"] == str(len(found))


async def test_what_can_not_be_asked_for_is_named(desk: Desk) -> None:
    for query, pointer in (("category=EVIL", "/category"), ("sort=subject", "/sort"), ("before=zz", "/before")):
        answer = await desk.ask("GET", f"/quarantine?{query}")
        assert (answer.status_code, answer.json()["pointer"]) == (400, pointer), answer.text


async def test_pages_go_on_behind_the_last_id_while_mail_comes_in(desk: Desk) -> None:
    for number in range(5):
        await hold(desk, f"No. {number}")
    first = await desk.ask("GET", "/quarantine?pageSize=2")
    assert first.headers["x-total-count"] == "5"
    await hold(desk, "No. 5")
    last = first.json()[-1]["id"]
    second = await desk.ask("GET", f"/quarantine?pageSize=2&before={last}")
    assert [each["subject"] for each in second.json()] == ["No. 2", "No. 1"]
    assert second.headers["x-total-count"] == "6"
    assert await listed(desk, f"?pageSize=2&before={second.json()[-1]['id']}") == ["No. 0"]
    assert await listed(desk, f"?sort=id&pageSize=2&before={last}") == ["No. 4", "No. 5"]


async def test_a_release_sends_it_on_and_teaches_and_shows_how_it_stands(desk: Desk) -> None:
    await hold(desk, "One")
    (held,) = await desk.get("/quarantine")
    assert (await desk.ask("POST", f"/quarantine/{held['id']}/release")).status_code == 204
    await desk.house.gatepost.queue.idle()
    (arrived,) = desk.house.sink.mails
    assert arrived.recipients == ["bob@served.example"] and b"Subject: One\r\n" in arrived.data
    after = await desk.get(f"/quarantine/{held['id']}")
    assert after["releasedAt"] and after["releaseStatus"]["state"].lower() == "delivered"


async def test_an_infected_one_must_be_confirmed(desk: Desk) -> None:
    await hold(desk, "Two", body=EICAR)
    (held,) = await desk.get("/quarantine")
    path = f"/quarantine/{held['id']}/release"
    assert (await desk.ask("POST", path)).status_code == 412
    assert (await desk.ask("POST", path, headers={"X-Virus-Lover": ""})).status_code == 204


async def test_what_is_deleted_is_gone_from_its_folder_and_on_record(desk: Desk) -> None:
    await desk.house.user("eve@served.example")
    mail_id = await hold(desk, "One", "bob@served.example", "eve@served.example")
    mine, other = await desk.get("/quarantine?mailbox=bob*"), await desk.get("/quarantine?mailbox=eve*")
    (held,), (kept,) = mine, other
    assert (await desk.ask("DELETE", f"/quarantine/{held['id']}", token=desk.bob)).status_code == 403
    assert (await desk.ask("DELETE", f"/quarantine/{held['id']}")).status_code == 204
    assert (await desk.ask("DELETE", f"/quarantine/{held['id']}")).status_code == 404
    assert [each["id"] for each in await desk.get("/quarantine")] == [kept["id"]]
    folders = {each["path"]: each for each in await desk.get("/users/bob@served.example/emails/folders?fields=STATS")}
    assert folders["Quarantine"]["messageCount"] == 0
    assert await desk.house.store.read(lambda reader: reader.body(mail_id)) is not None  # the other's is whole
    life = await desk.get(f"/messages/{mail_id}/trace")
    (event,) = [each for each in life["events"] if each["event"] == "deleted"]
    assert (event["mailbox"], event["text"]) == ("bob@served.example", "out of Quarantine")
    stands = {each["recipient"]: each["status"] for each in life["recipients"]}
    assert stands == {"bob@served.example": "deleted", "eve@served.example": "quarantined"}
    (entry,) = await desk.get("/audit?act=delete")
    assert entry["login"] == "root"
    assert (await desk.ask("DELETE", f"/quarantine/{kept['id']}")).status_code == 204
    assert desk.house.copies("Quarantine") == []
    assert {each.folder for each in desk.house.copies("Archive")} == {"Archive"}  # kept to the end of its term


async def test_a_release_on_its_way_outlives_the_copy(desk: Desk) -> None:
    await hold(desk, "One")
    (held,) = await desk.get("/quarantine")
    desk.house.sink.script["DATA"] = ["451 4.3.0 later"]
    assert (await desk.ask("POST", f"/quarantine/{held['id']}/release")).status_code == 204
    await desk.house.gatepost.queue.idle()
    assert (await desk.ask("DELETE", f"/quarantine/{held['id']}")).status_code == 204
    desk.house.sink.script.clear()
    assert (await desk.ask("POST", "/queue/flush")).status_code == 200
    await desk.house.gatepost.queue.idle()
    assert len(desk.house.sink.mails) == 1


async def test_what_no_store_flag_asked_for_is_administrators_alone(desk: Desk) -> None:
    """Rules 3."""
    await hold(desk, "One")
    (held,) = desk.house.copies("Quarantine")
    await desk.house.store.write(lambda writer: writer.change(Copy, held.id, folder="System"))
    (shown,) = await desk.get("/quarantine")
    assert shown["folder"] == "System"
    assert await listed(desk, token=desk.bob) == []
    path = f"/quarantine/{shown['id']}"
    assert (await desk.ask("GET", path, token=desk.bob)).status_code == 404
    assert (await desk.ask("POST", f"{path}/release", token=desk.bob)).status_code == 404
    archived = await desk.house.store.write(lambda writer: writer.change(Copy, held.id, folder="Archive"))
    assert archived is not None
    for method, way in (("GET", path), ("DELETE", path), ("POST", f"{path}/release")):
        assert (await desk.ask(method, way)).status_code == 404, method


async def test_a_mailbox_users_question_looks_through_his_own_mailbox_alone(desk: Desk) -> None:
    """What is held for all others costs him nothing (rules 23)."""
    await hold(desk, "One")
    store, quarantine = desk.house.store, desk.house.gatepost.services.of(Quarantine)
    bob = store.reader.first(User, eq("email", "bob@served.example"))
    assert bob is not None
    asked = Query(where=quarantine._scoped(Book(store).caller(bob), None), sort="-id", limit=40, total=True)

    def plans(reader: Reader) -> list[str]:
        connection, said = reader._connection, list[str]()
        connection.set_trace_callback(said.append)
        assert reader.letters(asked).total == 1
        connection.set_trace_callback(None)
        return [row[3] for sql in said for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]

    of_copies = [plan for plan in await store.read(plans) if " c USING" in plan]
    assert len(of_copies) == 3  # the total, the window, and its rows by their ids
    assert sum("(mailbox=? AND folder=?)" in plan for plan in of_copies) == 2, of_copies
