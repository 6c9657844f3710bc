"""Tries out a next hop as a delivery would, up to the recipient or with a mail, and tells what it said."""

import msgspec

from gatepost.mta.connect import Contexts, open_session
from gatepost.mta.outcome import Reply
from gatepost.mta.routing import Target
from gatepost.mta.transaction import Parcel, converse
from gatepost.mta.wire import Broken, Session, Unusable
from gatepost.settings import Relay

STEP = 5.0  # seconds for a connection, and for each reply, unless deliveries wait less
SHOWN = 200  # characters of a server's words that are shown


class Probed(msgspec.Struct, frozen=True):
    """How a next hop fared: whether mail could be handed to it, and what was said."""

    ok: bool
    lines: tuple[str, ...]


class Prober:
    """Opens connections of its own, so that a diagnostic neither waits for deliveries nor takes their place."""

    def __init__(self, settings: Relay, hostname: str) -> None:
        self._settings = msgspec.structs.replace(
            settings,
            connect_timeout=min(settings.connect_timeout, STEP),
            command_timeout=min(settings.command_timeout, STEP),
        )
        self._hostname = hostname
        self._contexts = Contexts(settings.ca_file)

    async def probe(self, target: Target, recipient: str = "") -> Probed:
        """Connect, greet, secure, and offer a mail from the null sender to `recipient` (to nobody, for "")."""
        begun = f"Connecting to {target.text}"
        try:
            session = await open_session(target, self._settings, self._hostname, self._contexts)
        except Unusable as error:
            return Probed(False, (begun, f"Fail: {error.reply.line[:SHOWN]}"))
        seen = _seen(session)
        try:
            told = await _converse(session, recipient)
            await session.quit()
        except Broken as error:
            told = Probed(False, (f"Fail: {error.reply.line[:SHOWN]}",))
        finally:
            session.close()
        return Probed(told.ok, (begun, *seen, *told.lines))

    async def hand_over(self, target: Target, parcel: Parcel) -> Reply:
        """Hand a mail for one recipient over; return the answer that decided, the server's or why there is none."""
        try:
            session = await open_session(target, self._settings, self._hostname, self._contexts)
        except Unusable as error:
            return error.reply
        try:
            (outcome,) = await converse(session, parcel)
            await session.quit()
        except Broken as error:
            return error.reply
        finally:
            session.close()
        return outcome.reply


def _seen(session: Session) -> list[str]:
    offered = " ".join(session.extensions) or "nothing: it knows only HELO"
    tls = session.tls or "none"
    return [f"Banner: {session.banner[:SHOWN]}", f"EHLO offers: {offered[:SHOWN]}", f"TLS: {tls[:SHOWN]}"]


async def _converse(session: Session, recipient: str) -> Probed:
    lines = ["MAIL FROM:<>", *([f"RCPT TO:<{recipient}>"] if recipient else [])]
    replies = await session.ask([line.encode() for line in lines])
    told = [f"{line}: {reply.line[:SHOWN]}" for line, reply in zip(lines, replies, strict=False)]
    refused = next((reply for reply in replies if reply.code >= 300), None)
    if refused is None or _is_no_such_mailbox(refused):
        return Probed(True, (*told, "Passed"))
    return Probed(False, (*told, "Fail: mail is refused"))


def _is_no_such_mailbox(reply: Reply) -> bool:
    """Tell whether a server merely has no such mailbox: it takes the domain's mail all the same."""
    return reply.status == "5.1.1"
