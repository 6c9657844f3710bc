"""Apinizer's e-mail connections: the examples replayed, refusals, secrets, and mail that leaves by a connection."""

import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import msgspec
import pytest
from tests.api.contract import hold
from tests.api.kept import Desk, open_desk
from tests.api.spoken import examples, play, secured
from tests.house import CHEAP
from tests.peers.sink import Sink

from gatepost.model.access import Admin, Grant, Level
from gatepost.model.audit import Audit
from gatepost.model.connection import Connection, Project
from gatepost.model.policy import Policy
from gatepost.model.query import All, eq
from gatepost.model.stored import Delivery, State
from gatepost.model.tenant import Broker, Customer, Domain, User
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

PROJECTS = "/apiops/projects/"
PLACE = f"{PROJECTS}MyProject/connections/"
RELAY = {"type": "email", "name": "relay", "host": "127.0.0.1"}
ONE = {"environmentName": "production", "success": True, "message": "Deployment successful"}
DEPLOYED = {"success": True, "deploymentResult": {"success": True, "deploymentResults": [ONE]}}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        policy = desk.house.store.reader.first(Policy, All(()))
        assert policy is not None
        await desk.house.store.write(lambda writer: writer.change(Policy, policy.id, outgoing=True))
        assert (await desk.ask("POST", PROJECTS, {"name": "MyProject"})).status_code == 200
        yield desk


async def create(desk: Desk, name: str = "relay", **members: Any) -> None:
    answer = await desk.ask("POST", f"{PLACE}{name}/", {**RELAY, "name": name, **members})
    assert answer.json() == DEPLOYED


async def shown(desk: Desk, name: str = "relay") -> Any:
    (found,) = (await desk.get(f"{PLACE}{name}/"))["resultList"]
    return found


async def test_the_examples_are_answered_as_printed(desk: Desk) -> None:
    known, root = examples("apinizer-connections"), {"Authorization": f"Bearer {desk.root}"}
    await play(desk, known["003"], headers=root)
    again = await desk.ask("POST", known["004"]["request"]["path"], known["004"]["request"]["body"])
    assert (again.status_code, again.json()["error"]) == (400, "bad_request")
    sent = known["003"]["request"]["body"]
    listed = {"success": True, "resultList": [{**sent, "password": None}], "resultCount": 1}
    await play(desk, known["001"], headers=root, but=listed)
    assert await desk.get(f"{PLACE}?type=email") == listed
    assert await desk.get(f"{PLACE}?type=jdbc") == {"success": True, "resultList": [], "resultCount": 0}
    await play(desk, known["002"], headers=root, but={**listed, "resultList": [sent]})
    (read,) = known["002"]["response"]["body"]["resultList"]
    assert (await desk.ask("PUT", known["002"]["request"]["path"], read)).json() == DEPLOYED
    await play(desk, known["002"], headers=root)  # as printed, once it is what is printed
    for number in ("005", "006"):
        await play(desk, known[number], headers=root, but=DEPLOYED)
    assert await shown(desk, "my-email-connection") == {**known["005"]["request"]["body"], "addressToTest": None}
    await play(desk, known["007"], headers=root, but=DEPLOYED)
    await play(desk, known["004"], headers=root)


async def test_paths_work_without_their_slash_and_names_in_any_case(desk: Desk) -> None:
    await create(desk)
    for place in (f"{PLACE}relay", f"{PLACE}RELAY/", PLACE.rstrip("/"), PLACE.lower()):
        assert (await desk.get(place))["resultCount"] == 1
    renamed = {**RELAY, "name": "other", "deployToWorker": False, "port": 465}
    answer = await desk.ask("PUT", f"{PLACE}Relay", renamed)
    assert answer.json() == {"success": True, "deploymentResult": {"success": True, "deploymentResults": []}}
    assert (await shown(desk, "other"))["port"] == 465
    assert (await desk.ask("GET", f"{PLACE}relay")).status_code == 404
    assert await desk.get(PROJECTS.rstrip("/")) == {
        "success": True,
        "resultList": [{"name": "MyProject", "customerId": desk.ids.show(1)}],
        "resultCount": 1,
    }
    for status in (400, 200):
        assert (await desk.ask("DELETE", f"{PROJECTS}myproject/")).status_code == status
        await desk.ask("DELETE", f"{PLACE}other/")


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"type": "jdbc"}, "type"),
    ({"type": None}, "type"),
    ({"name": "else"}, "name"),
    ({"host": ""}, "host"),
    ({"host": "169.254.169.254"}, "host"),
    ({"port": 0}, "port"),
    ({"auth": True, "username": "me"}, "password"),
    ({"auth": True, "username": "", "password": "x"}, "username"),
    ({"enabled": "yes"}, "enabled"),
    ({"additionalProperties": {}}, "additionalProperties"),
    ({"additionalProperties": [1, {"name": "mail.smtp.timeout", "value": "soon"}]}, "additionalProperties.1"),
    ({"additionalProperties": [{"name": "mail.smtp.ssl.trust", "value": "a\r\nb;"}]}, "additionalProperties.0"),
]
"""A member that can't be taken, and the field that is told."""


async def test_a_connection_is_checked_member_by_member(desk: Desk) -> None:
    for change, field in FAULTS:
        answer = await desk.ask("POST", f"{PLACE}relay/", {**RELAY, **change})
        body = answer.json()
        assert (answer.status_code, body["error"]) == (400, "validation_failed"), answer.text
        assert body["validation_errors"][0]["field"] == field


async def test_what_is_missing_is_told_as_the_vendor_tells_it(desk: Desk) -> None:
    await create(desk)
    await create(desk, "second")
    for method, path, body, status, code in (
        ("GET", f"{PLACE}none/", None, 404, "not_found"),
        ("PUT", f"{PLACE}none/", {**RELAY, "name": "none"}, 400, "bad_request"),
        ("DELETE", f"{PLACE}none/", None, 400, "bad_request"),
        ("PUT", f"{PLACE}second/", RELAY, 400, "bad_request"),
        ("GET", f"{PROJECTS}Nobodys/connections/", None, 404, "not_found"),
        ("POST", f"{PROJECTS}Nobodys/connections/relay/", RELAY, 404, "not_found"),
        ("POST", PROJECTS, {"name": "MYPROJECT"}, 400, "validation_failed"),
        ("GET", "/apiops/nothing", None, 404, "not_found"),
    ):
        answer = await desk.ask(method, path, body)
        assert (answer.status_code, answer.json()["error"]) == (status, code), path
    nobody = await desk.ask("GET", PLACE, token=None)
    assert (nobody.status_code, nobody.json()["error"]) == (401, "invalid_token")
    assert (await desk.ask("GET", PLACE, token=desk.bob)).json()["error"] == "forbidden"


async def test_a_password_is_sealed_and_read_by_who_may_change_it_alone_which_is_audited(desk: Desk) -> None:
    await create(desk, auth=True, username="me", password="the password")
    row = desk.house.store.reader.first(Connection, eq("name", "relay"))
    assert row is not None and "the password" not in str(row)
    reader = await desk.house.add(Admin(login="reader", created_at=0))
    assert isinstance(reader, Admin)
    await desk.house.add(Grant(admin_id=reader.id, level=Level.CUSTOMER, node_id=1, permissions=["ROUTES_READ"]))
    (seen,) = (await desk.get(f"{PLACE}relay/", token=await desk._token(admin_id=reader.id)))["resultList"]
    assert seen["password"] is None
    assert (await shown(desk))["password"] == "the password"
    told = desk.house.store.reader.first(Audit, eq("act", "reveal"))
    assert told is not None and (told.login, told.kind, told.name, told.customer_id) == (
        "root",
        "connection",
        "relay",
        1,
    )
    audit = await desk.ask("GET", "/audit")
    assert "the password" not in audit.text


async def ask_token(desk: Desk, headers: dict[str, str] | None = None, **fields: str) -> httpx2.Response:
    sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    transport = httpx2.ASGITransport(desk.house.gatepost.site, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gatepost.test") as client:
        answer = await client.post("/apiops/auth/token", content=urlencode(fields), headers=sent)
    hold(answer)
    return answer


async def test_a_program_gets_a_token_for_an_hour(desk: Desk) -> None:
    await desk.house.add(Admin(login="app", password_hash=CHEAP.hash("secret word"), sys_admin=True, created_at=0))
    asked = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "secret word"}
    answer = await ask_token(desk, **asked)
    token = answer.json().pop("access_token")
    assert answer.json() == {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
    assert (await desk.ask("GET", PLACE, token=token)).status_code == 200
    own = await ask_token(desk, **{**asked, "client_id": "root", "client_secret": desk.root})
    assert own.json()["access_token"] == desk.root
    for change, status, code in (
        ({"client_secret": "wrong"}, 401, "unauthorized_client"),
        ({"grant_type": "password"}, 400, "bad_request"),
        ({f"member{number}": "1" for number in range(20)}, 400, "bad_request"),
    ):
        refused = await ask_token(desk, **{**asked, **change})
        assert (refused.status_code, refused.json()["error"]) == (status, code)
    odd = await ask_token(desk, {"Content-Type": "application/json"}, **asked)
    assert odd.status_code == 415


async def test_mail_leaves_by_the_connection_that_it_names_or_its_sender_is_bound_to(desk: Desk) -> None:
    async with Sink() as named, Sink() as domains, Sink() as bobs:
        for name, sink in (("named", named), ("domains", domains), ("bobs", bobs)):
            await create(desk, name, port=sink.port)
        bob, domain = (desk.house.store.reader.first(kind, All(())) for kind in (User, Domain))
        assert bob is not None and domain is not None
        of_domain = f"/domains/{desk.ids.show(domain.id)}/connection"
        of_bob = f"/users/{desk.ids.show(bob.id)}/connection"

        async def send(**members: Any) -> None:
            body = {"to": ["ada@far.example"], "subject": "Hello", "body": "<p>Good day</p>", **members}
            answer = await desk.ask("POST", "/users/bob@served.example/emails/send", body, token=desk.bob)
            assert answer.status_code == 200, answer.text

        await send()
        await desk.house.sink.wait(1)
        assert (await desk.ask("PUT", of_domain, {"project": "myproject", "name": "domains"})).status_code == 204
        await send()
        await domains.wait(1)
        assert (await desk.ask("PUT", of_bob, {"project": "MyProject", "name": "bobs"})).status_code == 204
        assert await desk.get(of_bob) == {"project": "MyProject", "name": "bobs"}
        await send()
        await bobs.wait(1)
        await send(connection={"project": "MyProject", "name": "named"}, to=["ada@far.example", "bob@served.example"])
        await named.wait(1)
        assert named.mails[0].recipients == ["ada@far.example"]
        await desk.house.sink.wait(2)  # what stays here goes to the domain's platform
        assert desk.house.sink.mails[1].recipients == ["bob@served.example"]

        assert (await desk.ask("DELETE", f"{PLACE}bobs/")).status_code == 400
        off = {**RELAY, "name": "bobs", "port": bobs.port, "enabled": False}
        assert (await desk.ask("PUT", f"{PLACE}bobs/", off)).status_code == 200
        await send()
        await desk.house.gatepost.queue.idle()
        waiting = desk.house.store.reader.first(Delivery, eq("state", State.QUEUED))
        assert waiting is not None and "switched off" in (waiting.last_reply or "")
        assert (await desk.ask("DELETE", of_bob)).status_code == 204
        assert (await desk.ask("DELETE", f"{PLACE}bobs/")).status_code == 200
        await send()
        await domains.wait(2)


@pytest.mark.parametrize("name", ["x" * 255, '"' * 255, "two  blanks", "\u00a0é  =?utf-8?q?x?= \U0001f642"])
async def test_a_saved_draft_remembers_whatever_name_its_connection_has(desk: Desk, name: str) -> None:
    async with Sink() as sink:
        relay = {"host": "127.0.0.1", "port": sink.port, "private": True}

        def add(writer: Writer) -> None:
            project = writer.add(Project(customer_id=1, name="p" * 255, created_at=0))
            writer.add(Connection(project_id=project.id, name=name, **relay))

        await desk.house.store.write(add)
        bob, chosen = "/users/bob@served.example/emails", {"project": "p" * 255, "name": name}
        saved = await desk.ask("POST", f"{bob}/drafts", {"connection": chosen}, token=desk.bob)
        body = {"to": ["ada@far.example"], "subject": "Hello", "draftId": saved.json()["id"]}
        answer = await desk.ask("POST", f"{bob}/send", body, token=desk.bob)
        assert answer.status_code == 200, answer.text
        await sink.wait(1)


async def test_a_saved_draft_remembers_its_connection(desk: Desk) -> None:
    async with Sink() as named, Sink() as other:
        await create(desk, 'named; "é"', port=named.port)
        await create(desk, "other", port=other.port)
        bob = "/users/bob@served.example/emails"
        body = {"to": ["ada@far.example"], "subject": "Hello", "body": "<p>Good day</p>"}
        chosen = {"project": "MyProject", "name": 'named; "é"'}

        async def save() -> str:
            answer = await desk.ask("POST", f"{bob}/drafts", {**body, "connection": chosen}, token=desk.bob)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        draft = await save()
        read = await desk.get(f"{bob}/Drafts/{draft}?fields=HEADERS", token=desk.bob)
        assert json.loads(read["headers"]["X-Gatepost-Connection"]) == chosen
        assert (await desk.ask("POST", f"{bob}/send", {**body, "draftId": draft}, token=desk.bob)).status_code == 200
        await named.wait(1)
        assert b"X-Gatepost-Connection" not in named.mails[0].data
        again = {**body, "draftId": await save(), "connection": {"project": "MyProject", "name": "other"}}
        assert (await desk.ask("POST", f"{bob}/send", again, token=desk.bob)).status_code == 200
        await other.wait(1)
        assert await desk.get(f"{bob}/Drafts", token=desk.bob) == []


async def test_nobody_is_bound_to_what_is_another_customers(desk: Desk) -> None:
    broker = await desk.house.add(Broker(name="two", created_at=0))
    assert isinstance(broker, Broker)
    other = await desk.house.add(Customer(broker_id=broker.id, name="other", created_at=0))
    assert isinstance(other, Customer)
    made = await desk.ask("POST", PROJECTS, {"name": "theirs", "customerId": desk.ids.show(other.id)})
    assert made.status_code == 200
    answer = await desk.ask("POST", f"{PROJECTS}theirs/connections/relay/", RELAY)
    assert answer.status_code == 200
    theirs = {"project": "theirs", "name": "relay"}
    domain = desk.house.store.reader.first(Domain, All(()))
    assert domain is not None
    place = f"/domains/{desk.ids.show(domain.id)}/connection"
    assert (await desk.ask("PUT", place, theirs)).status_code == 422
    body = {"to": ["ada@far.example"], "subject": "Hello", "body": "Hi", "connection": theirs}
    answer = await desk.ask("POST", "/users/bob@served.example/emails/send", body, token=desk.bob)
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/connection")


async def test_a_domain_that_moves_leaves_the_connections_of_its_former_customer_behind(desk: Desk) -> None:
    async with Sink() as former, Sink() as latter:
        bob, domain = (desk.house.store.reader.first(kind, All(())) for kind in (User, Domain))
        assert bob is not None and domain is not None
        broker = await desk.house.add(Broker(name="two", created_at=0))
        assert isinstance(broker, Broker)
        other = await desk.house.add(Customer(broker_id=broker.id, name="other", created_at=0))
        assert isinstance(other, Customer)
        place = f"/domains/{desk.ids.show(domain.id)}"
        places = (f"{place}/connection", f"/users/{desk.ids.show(bob.id)}/connection")
        await create(desk, "old", port=former.port)
        for each in places:
            assert (await desk.ask("PUT", each, {"project": "MyProject", "name": "old"})).status_code == 204
        assert (await desk.ask("DELETE", f"{PLACE}old/")).status_code == 400
        assert (await desk.ask("PATCH", place, {"customerId": desk.ids.show(other.id)})).status_code == 204
        assert [(await desk.ask("GET", each)).status_code for each in places] == [404, 404]
        await desk.ask("POST", PROJECTS, {"name": "New", "customerId": desk.ids.show(other.id)})
        new = {**RELAY, "name": "new", "port": latter.port}
        assert (await desk.ask("POST", f"{PROJECTS}New/connections/new/", new)).status_code == 200
        assert (await desk.ask("PUT", places[0], {"project": "New", "name": "new"})).status_code == 204
        body = {"to": ["ada@far.example"], "subject": "Hello", "body": "Hi"}
        assert (
            await desk.ask("POST", "/users/bob@served.example/emails/send", body, token=desk.bob)
        ).status_code == 200
        await latter.wait(1)
        assert (await desk.ask("DELETE", f"{PLACE}old/")).status_code == 200
        assert former.mails == []


async def test_a_connection_is_used_by_who_stays_though_others_moved_away(desk: Desk) -> None:
    served = desk.house.store.reader.first(Domain, All(()))
    assert served is not None
    gone = await desk.house.add(msgspec.structs.replace(served, id=0, name="gone.example", customer_id=99))
    bob = desk.house.store.reader.first(User, All(()))
    assert isinstance(gone, Domain) and bob is not None
    await create(desk)
    row = desk.house.store.reader.first(Connection, eq("name", "relay"))
    assert row is not None
    others = [
        msgspec.structs.replace(bob, id=0, email=f"{name}@gone.example", domain_id=gone.id, connection_id=row.id)
        for name in "abc"
    ]
    late = msgspec.structs.replace(bob, id=0, email="late@served.example", connection_id=row.id)

    def bind(writer: Writer) -> User:
        return [writer.add(each) for each in (*others, late)][-1]

    last = await desk.house.store.write(bind)
    assert (await desk.ask("DELETE", f"{PLACE}relay/")).status_code == 400
    await desk.house.store.write(lambda writer: writer.change(User, last.id, connection_id=None))
    assert (await desk.ask("DELETE", f"{PLACE}relay/")).status_code == 200


async def test_who_changes_no_server_of_a_connection_takes_nothing_away_threat_122(desk: Desk) -> None:
    """Whoever may not name a private address may say something else of a connection that leads to one."""
    await create(desk, host="relay.inside.example")
    keeper = await desk.house.add(Admin(login="keeper", created_at=0))
    assert isinstance(keeper, Admin)
    rights = ["ROUTES_READ", "ROUTES_WRITE"]
    await desk.house.add(Grant(admin_id=keeper.id, level=Level.CUSTOMER, node_id=1, permissions=rights))
    token = await desk._token(admin_id=keeper.id)
    for change, by, private in (
        ({"description": "ours"}, token, True),
        ({"port": 25}, token, False),
        ({"description": "still"}, token, False),
        ({"port": 25}, "", True),
        ({"port": 25, "host": "other.inside.example"}, token, False),
        ({"host": "127.0.0.1"}, "", True),
        ({"host": "127.0.0.1", "description": "ours"}, token, True),
    ):
        given = {**RELAY, "host": "relay.inside.example", **change}
        assert (await desk.ask("PUT", f"{PLACE}relay/", given, token=by)).status_code == 200
        row = desk.house.store.reader.first(Connection, eq("name", "relay"))
        assert row is not None and row.private is private, change
    for change in ({"host": "127.0.0.2"}, {"port": 25}):
        given = {**RELAY, "host": "127.0.0.1", **change}
        assert (await desk.ask("PUT", f"{PLACE}relay/", given, token=token)).status_code == 400, change


async def leads_here(desk: Desk, properties: list[Any]) -> None:
    """Give the connection a host that its certificate does not name."""
    row = desk.house.store.reader.first(Connection, eq("name", "relay"))
    assert row is not None
    change = {"host": "127.0.0.1", "properties": properties}
    await desk.house.store.write(lambda writer: writer.change(Connection, row.id, **change))


async def test_a_test_mail_goes_by_all_that_the_connection_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with secured(tmp_path, monkeypatch, "smtp.far.example", 587, ("me", "right")) as (desk, server):
        await desk.ask("POST", PROJECTS, {"name": "MyProject"})
        local = {"name": "mail.smtp.localhost", "value": "app.far.example"}
        await create(
            desk,
            host="smtp.far.example",
            enableStartTls=True,
            auth=True,
            username="me",
            password="right",
            addressToTest="ada@far.example",
            additionalProperties=[local, {"name": "mail.smtp.timeout", "value": 2000}, "kept as given"],
            **{"from": "app@far.example"},
        )
        answer = await desk.ask("POST", f"{PLACE}relay/test/")
        assert answer.status_code == 200 and answer.json()["message"].startswith("250 2.0.0 Ok: queued")
        (mail,) = server.mails
        assert (mail.sender, mail.recipients, mail.tls) == ("app@far.example", ["ada@far.example"], True)
        assert message_from_bytes(mail.data)["Subject"] == "Test of an outgoing mail server"
        assert "EHLO app.far.example" in server.commands

        # A certificate for another name, unless it is trusted, or names are not looked at.
        for properties, status in (
            ([], 400),
            ([{"name": "mail.smtp.ssl.trust", "value": "*"}], 200),
            ([{"name": "mail.smtp.ssl.trust", "value": "other.far.example"}], 400),
            ([{"name": "mail.smtp.ssl.trust", "value": "127.0.0.1"}], 200),
            ([{"name": "mail.smtp.ssl.checkserveridentity", "value": "false"}], 200),
            ([{"name": "mail.smtp.starttls.enable", "value": "false"}], 400),  # it wants a sign-in, which needs TLS
        ):
            await leads_here(desk, properties)
            answer = await desk.ask("POST", f"{PLACE}relay/test/")
            assert answer.status_code == status, (properties, answer.text)
