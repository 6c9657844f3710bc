"""Mails as they come in, and the name server that is asked about who sent them."""

import contextlib
from collections.abc import AsyncIterator

from dnslib import TXT
from tests.house import client
from tests.peers.names import Names, Zone

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.mailauth.examine import Examiner
from gatepost.message.mail import Mail, Opener
from gatepost.message.parse import dissect
from gatepost.model.address import parse_address
from gatepost.model.auth import AuthResults
from gatepost.model.envelope import Body, Direction, Envelope
from gatepost.settings import Dns, Filters, Limits


def long_txt(text: str) -> TXT:
    """Return a TXT record of any length."""
    return TXT([text[at : at + 250].encode() for at in range(0, max(len(text), 1), 250)])


def envelope(sender: str = "", *, ip: str = "192.0.2.7", helo: str = "mx.a.example", now: int = 0) -> Envelope:
    return Envelope(
        id="0" * 32,
        client=client(ip=ip, helo=helo),
        sender=parse_address(sender) if sender else None,
        recipients=(),
        direction=Direction.IN,
        received=now or wall_clock(),
    )


@contextlib.asynccontextmanager
async def resolving(zone: Zone) -> AsyncIterator[Resolver]:
    async with Names(zone) as names:
        yield Resolver(Dns(servers=[names.address], timeout=10.0), wall_clock)


async def results(raw: bytes, zone: Zone, about: Envelope, *, body: Body | None = None) -> AuthResults:
    """Return what is proven of a mail in a world with these names; `body`: where the mail lies in a file."""
    async with resolving(zone) as resolver:
        return await examined(raw, about, resolver, body=body)


async def examined(
    raw: bytes, about: Envelope, resolver: Resolver, *, seconds: float = 10.0, body: Body | None = None
) -> AuthResults:
    """Return what is proven of a mail by what a resolver says."""
    mail = Mail(about, body or Body(len(raw), raw), Opener(Filters(), Limits()))
    return await Examiner(resolver, seconds).examine(mail, dissect(raw, Limits()))
