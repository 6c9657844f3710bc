"""Diagnostics on the wire: the contract's examples, last results, who may ask, how often, and of which hosts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.house import Api, open_api
from tests.api.replay import Replay
from tests.peers.names import Names
from tests.peers.sink import Act, Sink

from gatepost.model.access import Grant, Level
from gatepost.model.dkim import DkimKey
from gatepost.model.health import Checkup
from gatepost.model.query import Query, eq
from gatepost.model.tenant import Domain
from gatepost.services.health import Health

pytestmark = pytest.mark.anyio

GATEWAY = "83.145.xxx.xxx"  # as the example masks it
LDAP = {"host": "ldap.example.org", "port": 636, "bind_user": "cn=gate", "use_ssl": True, "base_dn": "dc=got"}


@pytest.fixture
async def names(anyio_backend: str) -> AsyncIterator[Names]:
    async with Names() as names:
        yield names


@pytest.fixture
async def api(tmp_path: Path, names: Names) -> AsyncIterator[Api]:
    api = open_api(
        tmp_path / "state",
        dns={"servers": [names.address], "timeout": 5.0},
        smtp={"hostname": "gate.example", "gateway_names": [GATEWAY]},
        relay={"command_timeout": 1.5},
        health={"checks": ["MX", "DKIM"]},
    )
    yield api
    await api.store.close()


class Around(int):
    """A number that equals every one which is a time in epoch seconds."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and 10**9 < other < 10**10


async def targaryen(api: Api, name: str = "targaryen.net") -> Any:
    return await api.domain(name)


def replay(api: Api, **ids: str) -> Replay:
    return Replay(api, {"domain": dict(ids)})


# Domains.


async def test_a_domain_without_records_answers_as_the_example(api: Api) -> None:
    domain = await targaryen(api)
    await replay(api, Eygdk=domain["id"]).run("runDomainHealth", but={"/performedAt": Around()})


async def test_the_last_result_answers_as_the_example_and_a_missing_dkim_record_is_a_warning(
    api: Api, names: Names
) -> None:
    """Contract A56, A58: the first result is made when it is asked for."""
    domain = await targaryen(api)
    names.zone["targaryen.net"] = [f"MX 10 {GATEWAY}."]
    examples = replay(api, Eygdk=domain["id"])
    await examples.run("getDomainHealth", but={"/performedAt": Around()})
    names.zone.clear()
    api.clock.now += 5000
    answer = await examples.run("getDomainHealth", but={"/performedAt": Around()})
    assert answer.json()["performedAt"] == (api.clock.now - 5000) // 1000
    assert names.count("targaryen.net", "MX") == 1


async def test_what_fails_is_listed_as_in_the_example(tmp_path: Path, names: Names) -> None:
    api = open_api(
        tmp_path / "state2",
        dns={"servers": [names.address], "timeout": 5.0},
        smtp={"gateway_names": [GATEWAY]},
        health={"checks": ["MX", "DKIM"]},
        dkim={"selector": "cleanmail"},
    )
    stark, targaryen = await api.domain("stark.net"), await api.domain("targaryen.net")
    well = await api.domain("well.net")
    await api.make(f"/domains/{stark['id']}/dkim", None)
    names.zone |= {
        "stark.net": ["MX 10 mx.elsewhere.net."],
        "cleanmail._domainkey.stark.net": ['TXT "v=DKIM1; p=AAAA"'],
        "well.net": [f"MX 10 {GATEWAY}."],
    }
    for domain in (targaryen, stark, well):
        await api.make(f"/domains/{domain['id']}/health", None)
    times = {f"/{index}/health/performedAt": Around() for index in range(2)}
    examples = replay(api, YyjPn=stark["id"], Eygdk=targaryen["id"])
    await examples.run("listHealthErrors", kind="domain", but=times)
    await api.ask("DELETE", f"/domains/{targaryen['id']}", headers={"X-Ignore-MX": ""})
    assert [each["name"] for each in await api.get("/health")] == ["stark.net"]
    await api.store.close()


async def test_a_running_check_lets_a_new_key_take_over(api: Api, names: Names) -> None:
    domain = await targaryen(api)
    path = f"/domains/{domain['id']}"
    await api.make(f"{path}/dkim", None)
    (old,) = api.store.reader.find(DkimKey, Query()).items
    names.zone["protect._domainkey.targaryen.net"] = [_txt(old.record)]
    assert await _dkim(api, path) == ("OK", ["Passed"])
    await api.ask("PUT", f"{path}/dkim")
    waiting = "Note: protect2._domainkey.targaryen.net is not seen yet; the key before it signs until then"
    assert await _dkim(api, path) == ("OK", ["Passed", waiting])
    new = api.store.reader.find(DkimKey, Query()).items[1]
    names.zone["protect2._domainkey.targaryen.net"] = [_txt(new.record)]
    assert await _dkim(api, path) == ("OK", ["Passed"])
    assert [key.selector for key in api.store.reader.find(DkimKey, Query()).items] == ["protect2"]


def _txt(record: str) -> str:
    return "TXT " + " ".join(f'"{record[at : at + 200]}"' for at in range(0, len(record), 200))


async def _dkim(api: Api, path: str) -> tuple[str, list[str]]:
    entries = (await api.make(f"{path}/health", None))["report"]["entries"]
    (found,) = [entry for entry in entries if entry["type"] == "DKIM"]
    return found["result"], found["output"]


async def test_each_name_of_a_domain_needs_its_dkim_record(api: Api, names: Names) -> None:
    domain = await targaryen(api)
    path = f"/domains/{domain['id']}"
    await api.make(f"{path}/aliases", ["dragonstone.net"])
    await api.make(f"{path}/dkim", None)
    (key,) = api.store.reader.find(DkimKey, Query()).items
    names.zone["protect._domainkey.targaryen.net"] = [_txt(key.record)]
    result, output = await _dkim(api, path)
    assert result == "ERROR_DKIM_MISSING_ENTRY"
    assert output[1:] == ['Fail: DKIM DNS entry not found for domain "dragonstone.net" and selector "protect"']


# Platforms and relays.


async def platform(api: Api, **more: Any) -> str:
    given = {"name": "p", "transportDest": "127.0.0.1", "transportType": "SMTP", "transportPort": 25, **more}
    domain = await api.domain("got.com", platforms=[given])
    return str(domain["platforms"][0]["id"])


def entries(answer: Any) -> list[tuple[str, str]]:
    report = answer.get("report", answer)
    return [(entry["type"], entry["result"]) for entry in report["entries"]]


async def test_a_platform_is_spoken_to_as_a_delivery_would_and_no_mail_is_sent(api: Api) -> None:
    async with Sink() as sink:
        place = await platform(api, transportPort=sink.port)
        answer = await api.make(f"/platforms/{place}/health", None)
        assert [each for each in sink.sessions[0].commands if not each.startswith("EHLO")] == [
            "MAIL FROM:<>",
            "RCPT TO:<postmaster@got.com>",
            "QUIT",
        ]
        assert sink.mails == []
    (entry,) = answer["report"]["entries"]
    assert (answer["report"]["status"], entry["type"], entry["result"], entry["ref"]) == (True, "SMTP", "OK", place)
    assert entry["output"][0] == f"Connecting to 127.0.0.1[127.0.0.1]:{sink.port}"
    assert entry["output"][1].startswith("Banner: ") and entry["output"][-1] == "Passed"
    assert await api.get(f"/platforms/{place}/health") == answer


async def test_a_failing_platform_is_listed_until_it_is_well(api: Api) -> None:
    async with Sink({"RCPT": ["550 5.7.1 relaying denied"]}) as sink:
        place = await platform(api, transportPort=sink.port)
        answer = await api.get(f"/platforms/{place}/health")
        assert answer["report"]["entries"][0]["output"][-1] == "Fail: mail is refused"
        (listed,) = await api.get("/health")
        assert (listed["id"], listed["name"], listed["type"], listed["health"]) == (place, "p", "PLATFORM", answer)
        await api.make(f"/platforms/{place}/health", None)
    assert await api.get("/health") == []


async def test_main_and_fallback_are_both_tried_and_what_is_not_used_yet_is_said(api: Api) -> None:
    async with Sink() as sink:
        fallback = {
            "fallbackTransportDest": "127.0.0.1",
            "fallbackTransportType": "SMTP",
            "fallbackTransportPort": sink.port,
        }
        remedy = {"apiType": "O365", "apiData": {"clientId": "x", "tenantId": "y", "clientSecret": "z"}}
        place = await platform(api, transportPort=9, **fallback, authType="ldap", authData=LDAP, **remedy)
        answer = await api.make(f"/platforms/{place}/health", None)
    assert entries(answer) == [("SMTP", "ERROR"), ("SMTP", "OK"), ("AUTH", "OK"), ("API", "OK")]
    outputs = [entry["output"] for entry in answer["report"]["entries"]]
    assert outputs[2] == ["Not tested: the settings are stored; signing in by ldap is not used yet"]
    assert answer["report"]["status"] is False


async def test_a_relay_is_tried_without_being_saved(api: Api) -> None:
    async with Sink({"banner": "220 hello \x1b[2J"}) as sink:
        await platform(api, transportPort=sink.port)  # so that its port may be asked
        body = {"transportDest": "127.0.0.1", "transportPort": sink.port, "authType": "local", "apiType": ""}
        answer = await api.ask("POST", "/health/try-relay", body)
        assert answer.status_code == 200, answer.text
        assert entries(answer.json()) == [("SMTP", "OK")]
        output = answer.json()["entries"][0]["output"]
        assert "Banner: hello \\x1b[2J" in output and "ref" not in answer.json()["entries"][0]
        assert not [line for line in output if line.startswith("RCPT")]
    assert api.store.reader.find(Checkup, Query()).items == []


REFUSED: list[Any] = [
    ({"transportDest": "169.254.169.254"}, 422, "/transportDest"),
    ({"transportDest": "metadata.example"}, 422, "/transportDest"),
    ({"transportDest": "[::ffff:169.254.169.254]"}, 422, "/transportDest"),
    ({"transportDest": "fd00:ec2::254"}, 422, "/transportDest"),
    ({"transportDest": "fd20:ce::254"}, 422, "/transportDest"),
    ({"transportDest": "100.100.100.200"}, 422, "/transportDest"),
    ({"transportDest": "::ffff:192.0.0.192"}, 422, "/transportDest"),
    ({"transportDest": "168.63.129.16"}, 422, "/transportDest"),
    ({"transportDest": "224.0.0.1"}, 422, "/transportDest"),
    ({"transportDest": "0.0.0.0"}, 422, "/transportDest"),
    ({"fallbackTransportDest": "fe80::1", "fallbackTransportPort": 25}, 422, "/fallbackTransportDest"),
    ({"transportPort": 22}, 422, "/transportPort"),
    ({"fallbackTransportDest": "192.0.2.9", "fallbackTransportPort": 6379}, 422, "/fallbackTransportPort"),
    ({"fallbackTransportDest": "192.0.2.9"}, 422, "/fallbackTransportDest"),
    ({"transportDest": "a b"}, 400, "/transportDest"),
    ({"transportDest": ""}, 400, "/transportDest"),
    ({"transportPort": 0}, 400, "/transportPort"),
    ({"authType": "kerberos"}, 400, "/authType"),
    ({"apiType": "JMAP"}, 400, "/apiType"),
    ({"authData": "none"}, 400, "/authData"),
    ({"id": "zzzzz"}, 422, "/id"),
]


async def test_what_may_not_be_asked_is_refused_before_any_connection_a72(api: Api, names: Names) -> None:
    names.zone["metadata.example"] = ["A 169.254.169.254"]
    for body, status, pointer in REFUSED:
        api.clock.now += 60_000  # and not too often
        given = {"transportDest": "127.0.0.1", "transportPort": 25, "authType": "local", "apiType": "IMAP", **body}
        answer = await api.ask("POST", "/health/try-relay", given)
        assert (answer.status_code, answer.json().get("pointer")) == (status, pointer), answer.text


async def test_of_many_addresses_an_allowed_one_is_taken_and_looked_up_once(api: Api, names: Names) -> None:
    """Threat 122: what was checked is what is connected to."""
    async with Sink() as sink:
        await platform(api, transportPort=sink.port)
        names.zone["mx.example"] = ["A 169.254.169.254", "A 127.0.0.1"]
        body = {"transportDest": "mx.example", "transportPort": sink.port, "authType": "local", "apiType": ""}
        answer = await api.ask("POST", "/health/try-relay", body)
        assert entries(answer.json()) == [("SMTP", "OK")]
    assert names.count("mx.example", "A") == 1


async def test_a_host_without_address_and_a_server_that_hangs_are_results(api: Api) -> None:
    async with Sink({"banner": Act.HANG}) as sink:
        place = await platform(api, transportPort=sink.port)
        hanging = asyncio.create_task(api.make(f"/platforms/{place}/health", None))
        nowhere = {"transportDest": "nowhere.example", "transportPort": 25, "authType": "local", "apiType": ""}
        answer = await api.ask("POST", "/health/try-relay", nowhere)
        assert answer.json()["entries"][0]["output"][-1] == "Fail: nowhere.example has no address"
        assert "does not answer in time" in (await hanging)["report"]["entries"][0]["output"][-1]


# Who, and how often.


async def test_a_caller_may_ask_for_ten_diagnostics_in_a_minute(api: Api) -> None:
    domain = await targaryen(api)
    path = f"/domains/{domain['id']}/health"
    assert [(await api.ask("POST", path)).status_code for _ in range(11)] == [201] * 10 + [429]
    body = {"transportDest": "127.0.0.1", "transportPort": 25, "authType": "local", "apiType": ""}
    refused = await api.ask("POST", "/health/try-relay", body)
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0
    assert (await api.ask("GET", path)).status_code == 200
    api.clock.now += 60_000
    assert (await api.ask("POST", path)).status_code == 201


async def test_who_has_no_right_asks_nothing(api: Api, names: Names) -> None:
    domain = await targaryen(api)
    token = await api.token_of(admin_id=(await api.admin("jon")).id)
    place = domain["platforms"][0]["id"]
    body = {"transportDest": "127.0.0.1", "transportPort": 25, "authType": "local", "apiType": ""}
    asked = [
        ("GET", f"/domains/{domain['id']}/health"),
        ("POST", f"/domains/{domain['id']}/health"),
        ("GET", f"/platforms/{place}/health"),
        ("POST", f"/platforms/{place}/health"),
        ("GET", "/domains/zzzzz/health"),
        ("GET", "/platforms/zzzzz/health"),
        ("POST", "/health/try-relay"),
        ("GET", "/health"),
    ]
    for method, path in asked:
        answer = await api.ask(method, path, body if path.endswith("relay") else None, token=token)
        assert answer.status_code == 403, path
    assert names.asked == []
    for path in ("/domains/zzzzz/health", "/platforms/zzzzz/health"):
        assert (await api.ask("GET", path)).status_code == 404
        assert (await api.ask("POST", path)).status_code == 404


async def test_a_domains_administrator_sees_and_asks_for_his_own_alone(api: Api) -> None:
    """Contract A72: private addresses are a sysadmin's to have connected to; foreign platforms nobody else's."""
    async with Sink({"RCPT": "550 5.7.1 no"}) as sink:
        mine, foreign = await api.domain("mine.com", platforms=[_near(sink)]), await api.domain("foreign.com")
        for domain in (mine, foreign):
            await api.make(f"/domains/{domain['id']}/health", None)
        admin = await api.admin("jon")
        node = api.ids.read(mine["id"])
        rights = ["HEALTH_READ", "HEALTH_WRITE"]
        grant = Grant(admin_id=admin.id, level=Level.DOMAIN, node_id=node, permissions=rights)
        await api.store.write(lambda writer: writer.add(grant))
        token = await api.token_of(admin_id=admin.id)

        assert [each["name"] for each in await api.get("/health")] == ["foreign.com", "mine.com"]
        assert [each["name"] for each in await api.get("/health", token=token)] == ["mine.com"]
        assert (await api.ask("POST", f"/domains/{mine['id']}/health", token=token)).status_code == 201
        assert (await api.ask("POST", f"/domains/{foreign['id']}/health", token=token)).status_code == 403
        own, other = mine["platforms"][0]["id"], foreign["platforms"][0]["id"]
        assert (await api.ask("POST", f"/platforms/{own}/health", token=token)).status_code == 422
        assert (await api.ask("POST", f"/platforms/{other}/health", token=token)).status_code == 403
        body = {"transportDest": "nowhere.example", "transportPort": 25, "authType": "local", "apiType": ""}
        assert (await api.ask("POST", "/health/try-relay", body, token=token)).status_code == 200
        near = {**body, "transportDest": "64:ff9b::7f00:1"}  # loopback, wrapped
        assert (await api.ask("POST", "/health/try-relay", near, token=token)).status_code == 422
        assert (await api.ask("POST", "/health/try-relay", {**body, "id": other}, token=token)).status_code == 403
        assert sink.sessions == []


def _near(sink: Sink) -> dict[str, Any]:
    return {"name": "p", "transportDest": "127.0.0.1", "transportType": "SMTP", "transportPort": sink.port}


async def test_results_go_with_what_they_are_of(api: Api) -> None:
    domain = await targaryen(api)
    await api.make(f"/domains/{domain['id']}/health", None)
    assert len(api.store.reader.find(Checkup, Query()).items) == 1
    row = api.store.reader.domain("targaryen.net")
    assert row is not None
    health = api.counter.of(Health)
    await api.store.write(lambda writer: writer.remove(Domain, eq("id", row.id)))
    assert api.store.reader.find(Checkup, Query()).items == []
    await health.examine_domain(row)  # it was under way when the domain went
    assert api.store.reader.find(Checkup, Query()).items == []
