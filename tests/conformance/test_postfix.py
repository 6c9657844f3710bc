"""A real Postfix before Gatepost, a real one behind it: what an administrator sets up, and what he expects of it."""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import pytest
from tests.conformance.chain import Chain, chain
from tests.conformance.letters import EICAR, GTUBE, letter, zipped
from tests.conformance.talk import Letter, Talk, hand_over
from tests.peers.sink import Mail, Sink

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]
BOB = "bob@served.example"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def standing() -> AsyncIterator[Chain]:
    """One set-up for all tests of the file: it takes seconds to start."""
    async with chain() as made:
        yield made


@pytest.fixture
async def set_up(standing: Chain) -> AsyncIterator[Chain]:
    for sink in (standing.world, standing.home):
        sink.mails.clear()
        sink.script.clear()
    yield standing
    assert standing.gatepost.complaints() == []


async def give(port: int, sender: str, to: str, data: bytes) -> tuple[int, str]:
    talk = await Talk.open(port)
    said = await talk.send(Letter(sender, [to], data))
    await talk.close()
    return said


async def test_mail_passes_a_postfix_gatepost_and_a_postfix(set_up: Chain) -> None:
    raw = letter("<clean@world.example>")
    assert (await give(set_up.a.port, "ada@world.example", BOB, raw))[0] == 250
    (got,) = await set_up.home.wait(1)
    assert (got.sender, got.recipients) == ("ada@world.example", [BOB])
    assert got.data.endswith(raw)
    hops = re.findall(rb"(?m)^Received: from \S+ .*\r\n.*by (\S+)", got.data)
    assert hops == [b"mail.served.example", b"gate.example", b"a.world.example"]


async def test_held_mail_is_listed_and_released_through_the_api_and_arrives_behind_b(set_up: Chain) -> None:
    raw = letter("<gtube@world.example>", subject="Gtube", text=f"{GTUBE}\n")
    assert (await give(set_up.a.port, "ada@world.example", BOB, raw))[0] == 250
    await becomes(lambda: set_up.a.queued() == 0)
    (held,) = [mail for mail in await set_up.held("bob") if mail["subject"] == "Gtube"]
    assert (held["from"], held["category"]) == ("ada@world.example", "SPAM")
    assert set_up.home.mails == []
    await set_up.ask("POST", f"/users/{BOB}/emails/Quarantine/{held['id']}/release")
    (got,) = await set_up.home.wait(1)
    assert got.data.endswith(raw)


async def test_what_gatepost_refuses_is_returned_by_the_postfix_that_has_it(set_up: Chain) -> None:
    """Not by Gatepost: a mail refused in the session stays the sender's server's."""
    cases = {
        "pest@pest.example": (BOB, "Hello\n"),
        "ada@world.example": (BOB, f"{EICAR}\n"),
        "eva@world.example": ("nobody@served.example", "Hello\n"),
    }
    for sender, (to, text) in cases.items():
        raw = letter(f"<no.{sender}>", sender=sender, to=to, text=text)
        assert (await give(set_up.a.port, sender, to, raw))[0] == 250
    returned = {mail.recipients[0]: mail.data for mail in await set_up.world.wait(3)}
    assert b"550 5.7.1" in returned["pest@pest.example"]
    assert b"554 5.7.0" in returned["ada@world.example"]
    assert b"550 5.1.1" in returned["eva@world.example"]
    assert set_up.home.mails == []


async def test_an_address_without_account_is_asked_of_b(set_up: Chain) -> None:
    """Rules 7: frank has no account, B knows him."""
    frank = "frank@served.example"
    raw = letter("<frank@world.example>", to=frank)
    assert (await give(set_up.a.port, "ada@world.example", frank, raw))[0] == 250
    (got,) = await set_up.home.wait(1)
    assert got.recipients == [frank]


async def test_mail_of_the_domain_leaves_through_the_trusted_listener(set_up: Chain) -> None:
    raw = letter("<out@served.example>", sender=BOB, to="ada@world.example")
    assert (await give(set_up.b.port, BOB, "ada@world.example", raw))[0] == 250
    (got,) = await set_up.world.wait(1)
    assert (got.sender, got.recipients) == (BOB, ["ada@world.example"])
    assert got.data.endswith(raw)


async def test_mail_of_others_does_not_leave_through_the_trusted_listener(set_up: Chain) -> None:
    """Rules 10: B returns it to its sender; Gatepost never took it."""
    raw = letter("<spoof@world.example>", sender="ada@world.example", to="far@world.example")
    assert (await give(set_up.b.port, "ada@world.example", "far@world.example", raw))[0] == 250
    await becomes(lambda: set_up.b.queued() == 0)
    assert [mail for mail in set_up.world.mails if b"<spoof@world.example>" in mail.data and mail.sender] == []


async def test_a_bounce_of_mail_that_left_comes_home(set_up: Chain) -> None:
    """The next hop of the world refuses for good: the domain's own sender gets the report, by way of B."""
    set_up.world.script["RCPT <gone@world.example>"] = "550 5.1.1 no such user"
    raw = letter("<lost@served.example>", sender=BOB, to="gone@world.example")
    assert (await give(set_up.b.port, BOB, "gone@world.example", raw))[0] == 250
    (got,) = await set_up.home.wait(1)
    assert (got.sender, got.recipients) == ("", [BOB])
    assert b"report-type=" in got.data and b"Final-Recipient: rfc822; gone@world.example" in got.data
    assert b"<lost@served.example>" in got.data


async def test_a_bounce_that_b_writes_leaves_for_the_sender(set_up: Chain) -> None:
    """The mailbox behind B is full after B took the mail: B's own report goes out through Gatepost."""
    set_up.home.script["dot"] = "552 5.2.2 mailbox full"
    raw = letter("<full@world.example>")
    assert (await give(set_up.a.port, "ada@world.example", BOB, raw))[0] == 250
    (got,) = await set_up.world.wait(1)
    assert (got.sender, got.recipients) == ("", ["ada@world.example"])
    assert b"552 5.2.2 mailbox full" in got.data


async def test_mail_waits_in_gatepost_while_b_is_down(set_up: Chain) -> None:
    set_up.b.stop()
    raw = letter("<later@world.example>")
    assert (await give(set_up.a.port, "ada@world.example", BOB, raw))[0] == 250
    await becomes(lambda: set_up.a.queued() == 0)
    (waiting,) = await set_up.ask("GET", "/queue")
    assert waiting["recipient"] == BOB
    await anyio.to_thread.run_sync(set_up.b.start)
    await set_up.ask("POST", "/queue/flush")
    await set_up.home.wait(1)
    assert [mail for mail in set_up.home.mails if mail.data.endswith(raw)] == set_up.home.mails


# The long run.


def mixed(count: int) -> Iterator[tuple[str, Letter]]:
    """Yield mails with what each must become: "home", "held", "returned", or "half" (home for bob, held for eve)."""
    program = zipped("photos/beach.exe", b"MZ not really")
    for number in range(count):
        kind = number % 20
        name = f"<n{number:05d}@world.example>"
        user = ("bob", "carol", "dave")[number % 3]
        to = [f"{user}@served.example"]
        sender, fate, text, attach = "ada@world.example", "home", f"Mail {number}\n.\n" * (1 + number % 40), None
        if kind == 3:
            sender, fate = "pest@pest.example", "returned"
        elif kind == 5:
            fate, text = "held", f"{GTUBE}\n"
        elif kind == 8:
            fate, attach = "held", ("beach.zip", program)
        elif kind == 11:
            fate, text = "returned", f"{EICAR}\n"
        elif kind == 14:
            fate, text = "held", "See http://login.phish.example/now\n"
        elif kind == 17:
            fate, to = "half", [*to, "eve@served.example"]
        yield (
            fate,
            Letter(sender, to, letter(name, sender=sender, to=", ".join(to), subject=name, text=text, attach=attach)),
        )


NAME = re.compile(rb"(?mi)^Message-ID: (<n\d{5}@world\.example>)")


def names(mails: list[Mail]) -> Counter[str]:
    return Counter(found[1].decode() for mail in mails if (found := NAME.search(mail.data)))


@pytest.mark.timeout(520)
@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_of_many_mails_none_is_lost_and_none_doubled(
    set_up: Chain, record_property: Callable[[str, object], None], count: int
) -> None:
    fates: dict[str, set[str]] = {fate: set() for fate in ("home", "held", "returned", "half")}
    letters = []
    for fate, each in mixed(count):
        fates[fate].add(NAME.search(each.data)[1].decode())  # type: ignore[index]
        letters.append(each)
    every = set().union(*fates.values())
    began = time.monotonic()
    await hand_over(set_up.a.port, letters)
    home = len(fates["home"] | fates["half"])
    await arrive(set_up.home, home)
    await arrive(set_up.world, len(fates["returned"]))
    record_property("seconds", round(time.monotonic() - began, 1))
    await becomes(lambda: set_up.a.queued() + set_up.b.queued() == 0)
    await settled(set_up)

    assert names(set_up.home.mails) == Counter(fates["home"] | fates["half"])
    assert names(set_up.world.mails) == Counter(fates["returned"])
    held = [mail for user in ("bob", "carol", "dave") for mail in await set_up.held(user)]
    assert Counter(mail["subject"] for mail in held if mail["subject"] in every) == Counter(fates["held"])
    refused = await set_up.held("eve", "System")
    assert Counter(mail["subject"] for mail in refused) == Counter(fates["half"])


async def arrive(sink: Sink, count: int) -> None:
    """Wait until as many mails are there, for as long as mails keep coming."""
    while len(sink.mails) < count:
        await sink.wait(len(sink.mails) + 1)


async def settled(set_up: Chain, seconds: float = 120.0) -> None:
    """Wait until Gatepost has written down what became of every mail that its next hops have."""
    with anyio.fail_after(seconds):
        while await set_up.ask("GET", "/queue"):  # noqa: ASYNC110
            await anyio.sleep(0.1)


async def becomes(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for something that only looking can tell (a Postfix's queue)."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.1)
