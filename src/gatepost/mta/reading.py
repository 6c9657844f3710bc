"""What the daemon and its readers say to each other: mails to read, and what each tells by itself.

Frames go through a socket: four octets of length, then msgpack. What they hold goes as arrays
(`array_like`), without the names of members, which both sides would write and read for each mail.
"""

import asyncio
import struct
from collections.abc import Iterator

import msgspec

from gatepost.message.anatomy import Anatomy
from gatepost.model.auth import AuthResults
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.verdict import Finding
from gatepost.mta.claims import Claims
from gatepost.settings import Auth, Dns, Filters, Limits

LENGTH = struct.Struct(">I")
TOGETHER = 8  # frames that wait for each other, at most


class Setup(msgspec.Struct, frozen=True, array_like=True):
    """What a reader goes by, in its first frame. `version` is the daemon's: a reader of another one reads nothing."""

    version: str
    hostname: str
    filters: Filters
    limits: Limits
    dns: Dns
    auth: Auth


class Job(msgspec.Struct, frozen=True, array_like=True):
    """A mail to read."""

    number: int
    envelope: Envelope
    data: bytes


class Said(msgspec.Struct, frozen=True, array_like=True):
    """What a filter found, and the seconds that it took."""

    findings: tuple[Finding, ...]
    seconds: float


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """What a mail tells by itself; `opening` and `proving` are the seconds that it took.

    `anatomy` None: it is work for a worker. `auth` None: there was nobody to examine. `said`, by the names of filters,
    lacks those that failed. `proofs` are the fields that tell what `auth` holds.
    """

    anatomy: Anatomy | None = None
    opening: float = 0.0
    auth: AuthResults | None = None
    proving: float = 0.0
    said: dict[str, Said] = {}
    claims: Claims | None = None
    proofs: tuple[tuple[str, str], ...] = ()


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The answer to the job of that number, None where reading failed; number 0: the reader is ready."""

    number: int
    reading: Reading | None = None


_encode = msgspec.msgpack.Encoder().encode
setup_decoder = msgspec.msgpack.Decoder(Setup)
job_decoder = msgspec.msgpack.Decoder(Job)
answer_decoder = msgspec.msgpack.Decoder(Answer)


def frame(message: Setup | Job | Answer) -> bytes:
    """Return a message as it goes through a socket."""
    body = _encode(message)
    return LENGTH.pack(len(body)) + body


class Outbox:
    """Sends frames, those of one turn of the loop together: each write wakes the other side."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._soon = asyncio.get_running_loop().call_soon
        self._frames: list[bytes] = []

    def send(self, message: Setup | Job | Answer) -> None:
        """Send a message soon; raise TypeError, ValueError or OverflowError for what a frame can't hold."""
        self._frames.append(frame(message))
        if len(self._frames) == 1:
            self._soon(self._flush)
        elif len(self._frames) == TOGETHER:
            self._flush()

    def _flush(self) -> None:
        frames, self._frames = self._frames, []
        if frames and not self._transport.is_closing():
            self._transport.write(b"".join(frames))


class Frames:
    """Takes octets as they come."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, octets: bytes) -> Iterator[bytes]:
        """Yield the bodies of the frames that are whole now; all of them must be taken."""
        held = self._held
        held += octets
        start = 0
        while len(held) >= (begin := start + LENGTH.size):
            end = begin + LENGTH.unpack_from(held, start)[0]
            if len(held) < end:
                break
            yield bytes(memoryview(held)[begin:end])
            start = end
        del held[:start]


def bare(envelope: Envelope) -> Envelope:
    """Return an envelope without what is not a reader's: policies and rules of recipients, what a login went by."""
    recipients = tuple(Recipient(address=each.address, given=each.given) for each in envelope.recipients)
    client, login = envelope.client, envelope.client.login
    if login is not None:
        client = msgspec.structs.replace(client, login=msgspec.structs.replace(login, mark="", token_id=None))
    return msgspec.structs.replace(envelope, recipients=recipients, client=client)


def from_the_world(envelope: Envelope) -> bool:
    """Tell whether a stranger brought a mail: who signed in, or sends from our networks, needs no proof."""
    return envelope.client.is_stranger
