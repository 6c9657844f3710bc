"""Every mechanism of AUTH by true dialogs: who comes in, and who does not (RFC 4954, 5802; threat 26)."""

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scramp import ScramClient, ScramException
from structlog.testing import capture_logs
from tests.house import CHEAP
from tests.smtp.front import PASSWORD, Front, Talk, front

from gatepost.model.access import Token
from gatepost.model.query import eq
from gatepost.model.tenant import Domain, DomainAlias, DomainStatus, User, UserStatus
from gatepost.services.access import digest
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

BOB = "bob@ours.example"
TOKEN = "0123456789abcdef" * 2
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Front]:
    """One door for those who change nothing but accounts of their own; guesses are not counted there."""
    async with door(tmp_path_factory.mktemp("door"), limits={"auth_failures_per_ip": 10_000}) as opened:
        yield opened


@asynccontextmanager
async def door(folder: Path, **sections: Any) -> AsyncIterator[Front]:
    """A submission listener under TLS, with bob, carol and their domain."""
    listener = {"role": "submission", "tls": "implicit"}
    async with front(folder, certificate=True, listeners=[listener], **sections) as opened:
        yield opened


async def covered(opened: Front) -> Talk:
    talk = await opened.connect()
    assert opened.authority is not None
    await talk.cover(opened.authority)
    return await talk.hello()


def code(text: str) -> str:
    return b64encode(text.encode()).decode()


async def plain(talk: Talk, login: str, password: str) -> str:
    return await talk.ask(f"AUTH PLAIN {code(f'{chr(0)}{login}{chr(0)}{password}')}")


async def login(talk: Talk, login: str, password: str) -> str:
    assert await talk.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert await talk.ask(code(login)) == "334 UGFzc3dvcmQ6"
    return await talk.ask(code(password))


async def scram(talk: Talk, login: str, password: str, *, end: str = "") -> str:
    """Sign in by the client of scramp, which proves the server too."""
    client = ScramClient(["SCRAM-SHA-256"], login, password)
    said = await talk.ask(f"AUTH SCRAM-SHA-256 {code(client.get_client_first())}")
    if not said.startswith("334 "):
        return said
    client.set_server_first(b64decode(said[4:]).decode())
    said = await talk.ask(code(client.get_client_final()))
    if said.startswith("334 "):
        client.set_server_final(b64decode(said[4:]).decode())
        said = await talk.ask(end)
    return said


SIGN_IN: dict[str, Callable[[Talk, str, str], Awaitable[str]]] = dict(
    zip(MECHANISMS, (plain, login, scram), strict=True)
)


async def attempt(opened: Front, mechanism: str, login: str = BOB, password: str = PASSWORD) -> str:
    talk = await covered(opened)
    said = await SIGN_IN[mechanism](talk, login, password)
    await talk.close()
    return said


def bob(opened: Front) -> User:
    found = opened.world.store.reader.first(User, eq("email", BOB))
    assert found is not None
    return found


async def change(opened: Front, **fields: object) -> None:
    row = bob(opened).id
    await opened.world.store.write(lambda writer: writer.change(User, row, **fields))


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_who_knows_the_password_comes_in_and_sends(tmp_path: Path, mechanism: str) -> None:
    async with door(tmp_path) as opened:
        assert (await attempt(opened, "PLAIN")).startswith("235 2.7.0 ")
        talk = await covered(opened)
        with capture_logs() as logs:
            assert (await SIGN_IN[mechanism](talk, BOB, PASSWORD)).startswith("235 2.7.0 ")
        (told,) = [entry for entry in logs if entry["event"] == "signed in"]
        assert (told["login"], told["mechanism"]) == (BOB, mechanism)
        assert (await talk.ask(f"AUTH {mechanism}")).startswith("503 5.5.1 ")
        assert (await talk.ask("MAIL FROM:<carol@ours.example>")).startswith("553 5.7.1 ")
        await talk.begin(f"<{BOB}>", "<ada@world.example>")
        await talk.send(b"Subject: out\r\n\r\nx\r\n.\r\n")
        assert (await talk.reply()).startswith("250 ")
        (envelope, _) = opened.mails[0]
        assert envelope.client.login and envelope.client.login.email == BOB


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_who_may_not_come_in_is_told_no_more_than_that(tmp_path: Path, mechanism: str) -> None:
    async with door(tmp_path, limits={"auth_failures_per_ip": 100}) as opened:
        await attempt(opened, "PLAIN")
        wrong = "535 5.7.8 The login or the password is wrong."
        for who, password in (
            (BOB, "wrong"),
            ("nobody@ours.example", PASSWORD),
            ("bob", PASSWORD),
            ("b@far.test", "x"),
        ):
            assert await attempt(opened, mechanism, who, password) == wrong
        for fields, back in (
            ({"status": UserStatus.DISABLED}, {"status": UserStatus.ENABLED}),
            ({"mfa_type": "TOTP"}, {"mfa_type": None}),
            ({"password_hash": CHEAP.hash("another")}, {"password_hash": bob(opened).password_hash}),
        ):
            await change(opened, **fields)
            assert await attempt(opened, mechanism) == wrong
            await change(opened, **back)
        assert (await attempt(opened, mechanism)).startswith("235 2.7.0 ")
        await opened.world.store.write(lambda writer: writer.change(Domain, 1, user_permissions=["MAILS_READ"]))
        assert (await attempt(opened, mechanism)).startswith("550 5.7.1 ")
        assert opened.count("gatepost_auth_failures_total", door="smtp") == 7


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_guesses_are_counted_over_all_mechanisms(tmp_path: Path, mechanism: str) -> None:
    async with door(tmp_path) as opened:
        assert (await attempt(opened, "PLAIN")).startswith("235 ")
        for at in range(10):
            assert (await attempt(opened, MECHANISMS[at % 3], BOB, "wrong")).startswith("535 5.7.8 ")
        assert (await attempt(opened, mechanism)).startswith("454 4.7.0 ")
        opened.world.clock.now += 600_001
        assert (await attempt(opened, mechanism)).startswith("235 2.7.0 ")
        talk = await covered(opened)
        for _ in range(3):
            assert (await SIGN_IN[mechanism](talk, BOB, "wrong")).startswith("535 5.7.8 ")
        assert (await talk.ask(f"AUTH {mechanism}")).startswith("421 4.7.0 ")


async def test_a_token_is_a_password_for_plain_and_login_alone(tmp_path: Path) -> None:
    """Of a token only a digest is kept, which no proof can be held against."""
    async with door(tmp_path) as opened:
        row = Token(user_id=bob(opened).id, name="t", digest=digest(TOKEN), created_at=opened.world.clock())
        await opened.world.add(row)
        assert [(await attempt(opened, each, BOB, TOKEN))[:3] for each in MECHANISMS] == ["235", "235", "535"]


async def test_only_what_is_offered_is_taken(tmp_path: Path) -> None:
    async with door(tmp_path, smtp={"auth_mechanisms": ["SCRAM-SHA-256"]}) as opened:
        talk = await opened.connect()
        assert opened.authority is not None
        await talk.cover(opened.authority)
        await talk.reply()
        assert (await talk.ask("EHLO client.example")).endswith("250 AUTH SCRAM-SHA-256")
        for each in ("PLAIN", "LOGIN", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"):
            assert (await talk.ask(f"AUTH {each}")).startswith("504 5.5.4 ")
        assert await talk.ask("auth scram-sha-256") == "334 "
        assert (await talk.ask("*")).startswith("501 5.5.2 ")


@pytest.mark.parametrize("mechanism", [*MECHANISMS, "token"])
@pytest.mark.parametrize("what", ["account", "address", "domain", "right", "proof", "factor"])
async def test_a_sign_in_ends_with_what_it_was_got_with(standing: Front, mechanism: str, what: str) -> None:
    """Threat 110: the session of a stolen account sends nothing more once that is known."""
    world, name = standing.world, f"{what}-{mechanism.lower()}.example"
    domain = await world.domain(name, policy={"outgoing": True})
    eve = await world.user(f"eve@{name}", password_hash=CHEAP.hash(PASSWORD))
    secret = digest(name)[: len(TOKEN)]
    await world.add(Token(user_id=eve.id, name="t", digest=digest(secret), created_at=world.clock()))
    await attempt(standing, "PLAIN", eve.email)
    talk = await covered(standing)
    by_token = mechanism == "token"
    given = ("PLAIN", secret) if by_token else (mechanism, PASSWORD)
    assert (await SIGN_IN[given[0]](talk, eve.email, given[1])).startswith("235 ")
    for _ in range(2):
        assert (await talk.ask(f"MAIL FROM:<{eve.email}>")).startswith("250 ")
        assert (await talk.ask("RSET")).startswith("250 ")

    def take_away(writer: Writer) -> None:
        if what in ("domain", "right"):
            status, rights = (DomainStatus.DISABLED, None) if what == "domain" else (DomainStatus.ENABLED, [])
            writer.change(Domain, domain.id, status=status, user_permissions=rights)
        elif what == "proof" and by_token:
            writer.remove(Token, eq("digest", digest(secret)))
        else:
            fields = {
                "account": {"status": UserStatus.DISABLED},
                "address": {"email": f"rob@{name}"},  # under the old one his mail would be its next holder's
                "factor": {"mfa_type": "TOTP"},
            }
            writer.change(User, eve.id, **fields.get(what, {"password_hash": CHEAP.hash("another")}))

    await world.store.write(take_away)
    said = await talk.ask(f"MAIL FROM:<{eve.email}>")
    if what == "factor" and by_token:  # who has a second factor sends by a token
        assert said.startswith("250 ")
    else:
        assert said == "421 4.7.0 your sign-in holds no longer; closing"
        assert await talk.rest() == b""


@pytest.mark.parametrize("moment", ["before the data", "within the data"])
async def test_a_mail_under_way_ends_with_the_sign_in(tmp_path: Path, moment: str) -> None:
    """A mail's data may take hours to come."""
    async with door(tmp_path) as opened:
        talk = await covered(opened)
        assert (await plain(talk, BOB, PASSWORD)).startswith("235 ")
        assert (await talk.ask(f"MAIL FROM:<{BOB}>")).startswith("250 ")
        assert (await talk.ask("RCPT TO:<ada@world.example>")).startswith("250 ")
        if moment == "within the data":
            assert (await talk.ask("DATA")).startswith("354 ")
        await change(opened, status=UserStatus.DISABLED)
        last = "DATA" if moment == "before the data" else "Subject: out\r\n\r\nx\r\n."
        assert await talk.ask(last) == "421 4.7.0 your sign-in holds no longer; closing"
        assert await talk.rest() == b""
        assert opened.mails == []
        assert all(draft.data() == b"" for draft in opened.keeper.drafts)


async def test_a_token_that_lapses_ends_the_session(tmp_path: Path) -> None:
    async with door(tmp_path) as opened:
        now = opened.world.clock()
        await opened.world.add(
            Token(user_id=bob(opened).id, name="t", digest=digest(TOKEN), created_at=now, expiration=now + 1000)
        )
        talk = await covered(opened)
        assert (await plain(talk, BOB, TOKEN)).startswith("235 ")
        opened.world.clock.now += 1001
        assert (await talk.ask(f"MAIL FROM:<{BOB}>")).startswith("421 4.7.0 ")


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_password_may_be_as_long_as_passwords_are(tmp_path: Path, mechanism: str) -> None:
    """RFC 4954 4: an answer to a challenge has up to 12,288 octets, a command does not."""
    long = "Ä" * 1024
    async with door(tmp_path) as opened:
        await change(opened, password_hash=CHEAP.hash(long))
        for way in ("LOGIN", mechanism):
            talk = await covered(opened)
            if way == "PLAIN":
                assert await talk.ask("AUTH PLAIN") == "334 "
                said = await talk.ask(code(f"\0{BOB}\0{long}"))
            else:
                said = await SIGN_IN[way](talk, BOB, long)
            assert said.startswith("235 ")
        talk = await covered(opened)
        assert await talk.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert (await talk.ask("A" * 12_292)).startswith("500 5.5.2 ")


# SCRAM alone.


async def test_an_account_of_before_is_known_to_scram_once_it_signed_in_by_its_password(tmp_path: Path) -> None:
    async with door(tmp_path) as opened:
        assert bob(opened).scram is None
        assert (await attempt(opened, "SCRAM-SHA-256")).startswith("535 ")
        assert (await attempt(opened, "LOGIN")).startswith("235 ")
        kept = bob(opened).scram
        assert kept and kept.startswith("gAAAAA")  # sealed
        assert (await attempt(opened, "SCRAM-SHA-256")).startswith("235 ")
        assert (await attempt(opened, "PLAIN")).startswith("235 ")
        assert bob(opened).scram == kept


async def test_a_password_that_scram_can_not_carry_signs_in_by_plain(tmp_path: Path) -> None:
    """RFC 4013: a control character, or one that Unicode 3.2 does not know."""
    async with door(tmp_path) as opened:
        await change(opened, password_hash=CHEAP.hash("smile \U0001f600"))
        for _ in range(2):
            assert (await attempt(opened, "PLAIN", BOB, "smile \U0001f600")).startswith("235 ")
        assert bob(opened).scram == ""
        assert (await attempt(opened, "SCRAM-SHA-256", BOB, "smile")).startswith("535 ")


async def challenge(opened: Front, login: str) -> tuple[str, str]:
    """Return salt and iterations that the server tells for a login."""
    talk = await covered(opened)
    said = await talk.ask(f"AUTH SCRAM-SHA-256 {code(f'n,,n={login},r=nonce')}")
    assert said.startswith("334 "), said
    nonce, salt, iterations = b64decode(said[4:]).decode().split(",")
    assert nonce.startswith("r=nonce") and len(nonce) > 40
    assert (await talk.ask("*")).startswith("501 5.5.2 ")
    return salt, iterations


async def test_a_challenge_does_not_tell_whether_there_is_such_an_account(tmp_path: Path) -> None:
    async with door(tmp_path) as opened:

        def alias(writer: Writer) -> None:
            writer.add(DomainAlias(domain_id=1, name="other.example"))

        await opened.world.store.write(alias)
        assert (await attempt(opened, "PLAIN")).startswith("235 ")
        asked = (
            BOB,
            "carol@ours.example",
            "nobody@ours.example",
            "gone@ours.example",
            "ada@world.example",
            "root",
            "=2C",
        )
        told = {who: await challenge(opened, who) for who in asked}
        assert len({salt for salt, _ in told.values()}) == len(asked)
        assert {iterations for _, iterations in told.values()} == {"i=20000"}
        assert {len(b64decode(salt[2:])) for salt, _ in told.values()} == {16}
        for who in (BOB, "nobody@ours.example"):
            for spelling in (who, who.upper(), who.replace("ours", "other")):
                assert await challenge(opened, spelling) == told[who]


FIRST = "n,,n=bob@ours.example,r=nonce"


NONE = (
    "=",
    "",
    "!!",
    code("n"),
    code("n,,"),
    code("n,,n=,r=nonce"),
    code("n,,r=nonce,n=bob@ours.example"),
    code("n,,m=x,n=bob@ours.example,r=nonce"),
    code("n,,n=bob@ours.example"),
    code("n,,n=bob=@ours.example,r=nonce"),
    code("n,a=,n=bob@ours.example,r=nonce"),
    code("p=tls-exporter,,n=bob@ours.example,r=nonce"),
    code("p=tls-unique,,n=bob@ours.example,r=nonce"),
    code("x,,n=bob@ours.example,r=nonce"),
    code(FIRST + ",\0=1"),
    b64encode(b"n,,n=\xff,r=nonce").decode(),
)
"""First messages that are none."""


async def test_a_first_message_that_is_none_is_malformed(tmp_path: Path) -> None:
    async with door(tmp_path) as opened:
        for first in NONE:
            talk = await covered(opened)
            said = await talk.ask(f"AUTH SCRAM-SHA-256 {first}".rstrip())
            if said == "334 ":
                said = await talk.ask(first)
            assert said.startswith("501 5.5.2 "), first
            assert opened.count("gatepost_auth_failures_total", door="smtp") == 0
            assert (await plain(talk, BOB, PASSWORD)).startswith("235 ")
            await talk.ask("QUIT")


@pytest.mark.parametrize(
    ("final", "answer"),
    [
        ("*", "501 5.5.2"),
        ("", "501 5.5.2"),
        (code("c=biws"), "501 5.5.2"),
        (code("c=biws,r=other,p=AAAA"), "501 5.5.2"),
        (code("c=eSws,r={nonce},p=AAAA"), "501 5.5.2"),
        (code("c=biws,r={nonce},p=AAAA"), "535 5.7.8"),
        (code(f"c=biws,r={{nonce}},p={code('x' * 32)}"), "535 5.7.8"),
        (code("c=biws,r={nonce},p=!"), "501 5.5.2"),
    ],
)
async def test_a_last_message_is_held_against_the_challenge(standing: Front, final: str, answer: str) -> None:
    talk = await covered(standing)
    assert (await plain(talk, BOB, PASSWORD)).startswith("235 ")
    talk = await covered(standing)
    said = await talk.ask(f"AUTH SCRAM-SHA-256 {code(FIRST)}")
    nonce = b64decode(said[4:]).decode().split(",")[0].removeprefix("r=")
    if final not in ("*", ""):
        final = code(b64decode(final).decode().replace("{nonce}", nonce))
    assert (await talk.ask(final)).startswith(answer)
    assert (await scram(talk, BOB, PASSWORD)).startswith("235 ")


@pytest.mark.parametrize(
    ("end", "answer"), [("", "235 2.7.0"), ("=", "235 2.7.0"), ("*", "501 5.5.2"), ("eA==", "501 5.5.2")]
)
async def test_a_client_takes_the_proof_of_the_server_or_cancels(standing: Front, end: str, answer: str) -> None:
    await attempt(standing, "PLAIN")
    talk = await covered(standing)
    assert (await scram(talk, BOB, PASSWORD, end=end)).startswith(answer)
    signed_in = answer.startswith("235")
    assert (await talk.ask(f"MAIL FROM:<{BOB}>")).startswith("250 " if signed_in else "530 5.7.0 ")


async def test_a_password_that_changes_within_a_sign_in_ends_it(tmp_path: Path) -> None:
    async with door(tmp_path) as opened:
        await attempt(opened, "PLAIN")
        talk = await covered(opened)
        client = ScramClient(["SCRAM-SHA-256"], BOB, PASSWORD)
        said = await talk.ask(f"AUTH SCRAM-SHA-256 {code(client.get_client_first())}")
        client.set_server_first(b64decode(said[4:]).decode())
        await change(opened, password_hash=CHEAP.hash("another"))
        assert (await talk.ask(code(client.get_client_final()))).startswith("535 5.7.8 ")


async def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    """That the client of these tests looks at the server's proof at all."""
    client = ScramClient(["SCRAM-SHA-256"], BOB, PASSWORD, c_nonce="nonce")
    client.get_client_first()
    client.set_server_first(f"r=nonce1,s={code('x' * 16)},i=4096")
    client.get_client_final()
    with pytest.raises(ScramException):
        client.set_server_final(f"v={code('x' * 32)}")
