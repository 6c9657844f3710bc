"""Who is believed that mail came back: who had it, or speaks for its recipient; its id is known to all who got it."""

import re
from collections.abc import Iterator

from gatepost.message.hosts import registered
from gatepost.model.address import BadAddress, parse_address
from gatepost.model.auth import AuthResults, Result
from gatepost.model.envelope import Envelope
from gatepost.model.stored import Delivery

_HOP = re.compile(r"(.*)\[(.*)\]:\d+\Z")


def believed(delivery: Delivery, envelope: Envelope, auth: AuthResults | None) -> bool:
    """Tell whether a report in an `envelope` may speak of a delivery.

    Its client is a server that was tried, or is proven to be of the registered domain of one, or of the recipient's.
    """
    hops = [hop for each in delivery.log if (hop := _HOP.match(each.hop))]
    if envelope.client.ip in {hop[2] for hop in hops}:
        return True
    theirs = {registered(name.lower()) for name in (*(hop[1] for hop in hops), _domain(delivery.recipient)) if name}
    return auth is not None and any(registered(name.lower()) in theirs for name in _proven(auth))


def _proven(auth: AuthResults) -> Iterator[str]:
    """The domains that a mail is proven to come from."""
    if auth.iprev.result is Result.PASS:
        yield auth.iprev.name
    yield from (spf.domain for spf in (auth.mail_from, auth.helo) if spf.result is Result.PASS)
    yield from (each.domain for each in auth.signatures if each.result is Result.PASS)


def _domain(address: str) -> str:
    try:
        return parse_address(address).domain
    except BadAddress:
        return ""
