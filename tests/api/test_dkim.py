"""DKIM keys on the wire: the contract's examples, what is refused, and that no private half ever comes out."""

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.api.house import Api, open_api
from tests.api.replay import Replay, load

from gatepost.mailauth import keys
from gatepost.model.dkim import Algorithm, DkimKey
from gatepost.model.query import Query, eq
from gatepost.model.tenant import Domain

pytestmark = pytest.mark.anyio

RSA, OTHER, ED = keys.generate(Algorithm.RSA), keys.generate(Algorithm.RSA), keys.generate(Algorithm.ED25519)
LINE = re.compile(r"(\S+)\._domainkey\.(\S+) TXT v=DKIM1; (?:k=ed25519; )?p=([A-Za-z0-9+/=]+)")


async def stark(api: Api, *aliases: str) -> str:
    """Make stark.com; return the path of its keys."""
    domain = await api.domain("stark.com")
    if aliases:
        await api.make(f"/domains/{domain['id']}/aliases", list(aliases))
    return f"/domains/{domain['id']}/dkim"


@pytest.fixture(scope="module")
async def keyless(shared: Api) -> str:
    return await stark(shared)


def replay(api: Api, path: str) -> Replay:
    return Replay(api, {"domain": {"Eygdk": path.split("/")[2]}})


def rows(api: Api) -> list[DkimKey]:
    return api.store.reader.find(DkimKey, Query()).items


def other_key(operation: str, index: int, public: str) -> str:
    """Return an example's line with a key of ours in it."""
    line: str = load(operation)["response"]["body"][index]
    return line.partition("p=")[0] + f"p={public}"


class Start(str):
    """A text that equals every one which it begins."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith(str(self))


def fresh_keys(operation: str) -> dict[str, Start]:
    """Return what an example's lines begin with; the keys behind it are made anew."""
    lines = load(operation)["response"]["body"]
    return {f"/{index}": Start(line.partition("p=")[0]) for index, line in enumerate(lines)}


async def test_a_made_key_answers_as_the_example(api: Api) -> None:
    path = await stark(api)
    answer = await replay(api, path).run("createDkim", but=fresh_keys("createDkim"))
    (made,) = rows(api)
    assert answer.json() == [made.line("stark.com")]
    assert len(answer.json()[0]) == len(load("createDkim")["response"]["body"][0])


async def test_every_name_of_the_domain_has_its_record_as_in_the_example(api: Api) -> None:
    path = await stark(api, "winterfell.net")
    await api.make(path, {"privateKey": RSA.private})
    lines = [other_key("getDkim", index, RSA.public) for index in range(2)]
    await replay(api, path).run("getDkim", but={f"/{index}": line for index, line in enumerate(lines)})


async def test_a_replacement_answers_as_the_example(api: Api) -> None:
    path = await stark(api)
    await api.make(path, {"privateKey": RSA.private, "selector": "cleanmail"})
    await replay(api, path).run("replaceDkim", but=fresh_keys("replaceDkim"))


async def test_deleted_keys_are_gone_as_in_the_example(api: Api) -> None:
    path = await stark(api)
    await api.make(path, None)
    await replay(api, path).run("deleteDkim")
    assert rows(api) == []
    assert (await api.ask("GET", path)).status_code == 404
    assert (await api.ask("DELETE", path)).status_code == 204


async def test_a_given_key_is_taken_with_or_without_its_public_half(api: Api) -> None:
    path = await stark(api)
    both = {"privateKey": RSA.private, "publicKey": RSA.public, "selector": "Mail.Two"}
    assert await api.make(path, both) == [f"mail.two._domainkey.stark.com TXT v=DKIM1; p={RSA.public}"]


async def test_no_private_key_is_shown_or_kept_in_clear_threat_71(api: Api, tmp_path: Path) -> None:
    path = await stark(api)
    await api.make(path, {"privateKey": RSA.private})
    assert "PRIVATE" not in (await api.ask("GET", path)).text
    (row,) = rows(api)
    assert api.store.secrets.unseal(row.private) == RSA.private
    secret = RSA.private.splitlines()[5].encode()
    await api.store.close()
    files = [file for file in (tmp_path / "state").rglob("*") if file.is_file()]
    assert files and not [file for file in files if secret in file.read_bytes()]


async def test_a_domain_has_one_key_of_each_algorithm_and_post_replaces_none(api: Api) -> None:
    path = await stark(api)
    await api.make(path, None)
    assert (await api.ask("POST", path, {})).status_code == 409
    assert await api.make(path, {"algorithm": "ed25519", "privateKey": ED.private}) == [
        f"protect-ed25519._domainkey.stark.com TXT v=DKIM1; k=ed25519; p={ED.public}"
    ]
    assert (await api.ask("POST", path, {"algorithm": "ed25519"})).status_code == 409
    assert [LINE.fullmatch(line)[1] for line in await api.get(path)] == ["protect", "protect-ed25519"]  # type: ignore[index]


async def test_each_replacement_has_a_selector_of_its_own_and_one_never_seen_is_forgotten(api: Api) -> None:
    path = await stark(api)
    await api.make(path, None)
    for number in (2, 3):
        answer = await api.ask("PUT", path, {})
        assert [LINE.fullmatch(line)[1] for line in answer.json()] == [f"protect{number}"]  # type: ignore[index]
        shown = [LINE.fullmatch(line)[1] for line in await api.get(path)]  # type: ignore[index]
        assert shown == [f"protect{number}", "protect"]


async def test_a_replacement_under_the_same_selector_shows_its_record_alone(api: Api) -> None:
    path = await stark(api)
    await api.make(path, {"privateKey": RSA.private})
    answer = await api.ask("PUT", path, {"privateKey": OTHER.private, "selector": "protect"})
    assert answer.json() == await api.get(path) == [f"protect._domainkey.stark.com TXT v=DKIM1; p={OTHER.public}"]


async def test_the_selector_of_new_keys_is_a_setting(tmp_path: Path, anyio_backend: str) -> None:
    api = open_api(tmp_path / "state", dkim={"selector": "cleanmail"})
    path = await stark(api)
    assert (await api.make(path, None))[0].startswith("cleanmail._domainkey.stark.com TXT v=DKIM1; p=MII")
    await api.store.close()


def curve() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"privateKey": "x"}, 400, "/privateKey"),
        ({"privateKey": curve()}, 400, "/privateKey"),
        ({"privateKey": "A" * 10_001}, 400, "/privateKey"),
        ({"privateKey": 1}, 400, "/privateKey"),
        ({"privateKey": RSA.private, "publicKey": "x"}, 400, "/publicKey"),
        ({"privateKey": RSA.private, "publicKey": OTHER.public}, 422, "/publicKey"),
        ({"publicKey": RSA.public}, 422, "/privateKey"),
        ({"privateKey": RSA.private, "algorithm": "ed25519"}, 422, "/algorithm"),
        ({"algorithm": "md5"}, 400, "/algorithm"),
        ({"selector": "-x"}, 400, "/selector"),
        ({"selector": "a..b"}, 400, "/selector"),
        ({"selector": "a b"}, 400, "/selector"),
        ({"selector": "a\nb"}, 400, "/selector"),
        ({"selector": "x" * 64}, 400, "/selector"),
        ({"selector": ".".join(["x" * 60] * 4)}, 422, "/selector"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_key_that_cannot_be_used_is_refused_by_its_member(
    shared: Api, keyless: str, method: str, body: dict[str, Any], status: int, pointer: str
) -> None:
    answer = await shared.ask(method, keyless, body)
    assert (answer.status_code, answer.json().get("pointer")) == (status, pointer), answer.text
    assert rows(shared) == []


async def test_two_algorithms_cannot_share_a_selector(api: Api) -> None:
    path = await stark(api)
    await api.make(path, {"selector": "s1"})
    answer = await api.ask("POST", path, {"algorithm": "ed25519", "selector": "S1"})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/selector")


async def test_keys_are_a_sysadmins(api: Api) -> None:
    path = await stark(api)
    admin = await api.admin("jon")
    token = await api.token_of(admin_id=admin.id)
    strange = "/domains/zzzzz/dkim"
    for method in ("GET", "POST", "PUT", "DELETE"):
        for place in (path, strange):
            assert (await api.ask(method, place, token=token)).status_code == 403
        assert (await api.ask(method, strange)).status_code == 404
    assert rows(api) == []


async def test_the_keys_go_with_their_domain(api: Api) -> None:
    path = await stark(api)
    await api.make(path, None)
    await api.store.write(lambda writer: writer.remove(Domain, eq("name", "stark.com")))
    assert rows(api) == []
