"""What the daemon and its exporters say to each other: which list to make a file of, who asks for it, and the file.

Frames go through a socket: four octets of length, then msgpack. The daemon sends a `Setup`, then orders, and a `Go` for
each `Ask`; an exporter sends what is `Said`, an `End` behind each file and when it is ready.
"""

import msgspec

from gatepost.message.worker import LENGTH
from gatepost.model.access import Caller
from gatepost.model.problem import Kind


class Setup(msgspec.Struct, frozen=True):
    """What an exporter goes by. `version` is the daemon's: an exporter of another one makes nothing.

    `database` is the path of the store's, `seed` decides how ids look.
    """

    version: str
    database: str
    seed: bytes


class Order(msgspec.Struct, frozen=True):
    """A list to make a file of the media type `media` of: the operation's module and name, and how it was asked for."""

    module: str
    name: str
    segments: list[str]  # of the path, where it has parameters, as they were sent
    query: bytes
    media: str


class Go(msgspec.Struct, frozen=True):
    """Who asks now, so that a right that is withdrawn ends a long answer."""

    caller: Caller


class Ask(msgspec.Struct, frozen=True, tag=True):
    """The next rows are about to be read: who asks for them?"""


class Size(msgspec.Struct, frozen=True, tag=True):
    """The file is made, and has so many octets; said before its pieces, of files that are made as a whole."""

    octets: int


class Piece(msgspec.Struct, frozen=True, tag=True):
    """The next octets of the file."""

    data: bytes


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Why the file can't be made, or goes no further. The exporter is at the next order."""

    kind: Kind
    detail: str


class End(msgspec.Struct, frozen=True, tag=True):
    """The file is whole, or the exporter ready."""


Said = Ask | Size | Piece | Refusal | End

_encode = msgspec.msgpack.Encoder().encode
setup_decoder = msgspec.msgpack.Decoder(Setup)
order_decoder = msgspec.msgpack.Decoder(Order)
go_decoder = msgspec.msgpack.Decoder(Go)
said_decoder: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)


def frame(message: Setup | Order | Go | Said) -> bytes:
    """Return a message as it goes through a socket."""
    body = _encode(message)
    return LENGTH.pack(len(body)) + body
