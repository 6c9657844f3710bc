"""An open-relay tester's addresses, told to a whole Gatepost: nothing leaves, and only served mailboxes get mail."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.conformance.letters import letter
from tests.conformance.talk import Talk, stuffed
from tests.house import House, living
from tests.peers.sink import Script, Sink
from tests.smtp.test_addresses import RELAY_FORMS

from gatepost.model.envelope import Role

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

SENDERS = (
    "<ada@world.example>",
    "<>",
    "<bob@ours.example>",
    "<postmaster@ours.example>",
    "<bob@gate.example>",
    "<bob@localhost>",
    "<bob@[127.0.0.1]>",
)
KNOWING: Script = {"RCPT": "550 5.1.1 no such user", "RCPT <bob@ours.example>": "250 2.1.5 Ok"}


class Town(NamedTuple):
    house: House  # its sink is the smarthost: what comes there has left
    platform: Sink  # the mail server of ours.example

    def port(self, role: Role) -> int:
        return next(port for kind, _, port in self.house.gatepost.listeners.addresses if kind is role)


@asynccontextmanager
async def town(directory: Path, script: Script | None = None) -> AsyncIterator[Town]:
    limits = {"errors": 10_000, "unknown_recipients": 10_000}
    async with Sink(script) as platform, living(directory, limits=limits) as house:
        # It sends, but from a network in which the tester is not.
        outgoing = {"outgoing_subnets": ["192.0.2.0/24"], "policy": {"outgoing": True}}
        await house.domain("ours.example", hop=("127.0.0.1", platform.port), **outgoing)
        await house.user("bob@ours.example")
        yield Town(house, platform)


async def try_all(port: int, sender: str) -> list[str]:
    """Try each form in a transaction of its own, and send a mail where it is taken; return the forms that were."""
    talk = await Talk.open(port)
    taken = []
    for form in RELAY_FORMS:
        code, text = await talk.ask(f"MAIL FROM:{sender}")
        if code != 250:
            break
        code, text = await talk.ask(f"RCPT TO:{form}")
        assert code in (250, 501, 550, 553), f"{form}: {code} {text}"
        if code == 250:
            taken.append(form)
            assert (await talk.ask("DATA"))[0] == 354
            talk.writer.write(stuffed(letter("<relay@world.example>", subject=f"try {len(taken)}")) + b".\r\n")
            await talk.reply()
        await talk.ask("RSET")
    await talk.close()
    return taken


def outside(taken: Sequence[str]) -> list[str]:
    return [form for form in taken if not form.endswith("@ours.example>")]


@pytest.mark.parametrize("role", [Role.MX, Role.TRUSTED])
@pytest.mark.parametrize("sender", SENDERS)
async def test_nothing_is_relayed_for_a_stranger(tmp_path: Path, role: Role, sender: str) -> None:
    """Threats 31, 35, 36: the platform knows its mailboxes."""
    assert len(RELAY_FORMS) >= 45
    async with town(tmp_path, dict(KNOWING)) as here:
        assert await try_all(here.port(role), sender) == []
        await here.house.gatepost.queue.idle()
        assert (here.house.sink.mails, here.platform.mails) == ([], [])


async def test_behind_a_catch_all_only_addresses_of_the_domain_are_taken(tmp_path: Path) -> None:
    """Threat 31: what is taken goes to the domain's own server, as it was spelled, and nowhere else."""
    async with town(tmp_path) as here:
        taken = await try_all(here.port(Role.MX), "<ada@world.example>")
        assert outside(taken) == []
        assert "<ada%world.example@ours.example>" in taken
        await here.house.gatepost.queue.idle()
        assert here.house.sink.mails == []
        assert sorted(f"<{mail.recipients[0]}>" for mail in here.platform.mails) == sorted(taken)
        assert all(len(mail.recipients) == 1 for mail in here.platform.mails)
