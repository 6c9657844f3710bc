"""An exporter: a process that makes files of long lists, so that the daemon only passes them on.

It answers the operations that the daemon's API answers, over the same database, which it only reads; who asks, and
whether he still may, the daemon tells before each reading. It knows no key and no secret of the environment, and ends
when its input does.
"""

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import msgspec

from gatepost.api.endpoint import Desk, Endpoint
from gatepost.api.exports import CSV, pieces_of, walk
from gatepost.api.ids import Ids
from gatepost.events import wall_clock
from gatepost.message.worker import (
    LENGTH,
    end_with_the_daemon,
    go_before_the_daemon,
    installed,
    leave_signals_to_the_daemon,
)
from gatepost.model.access import Caller
from gatepost.model.problem import Problem
from gatepost.process import keep_the_heap, spare_the_collector
from gatepost.services.counter import Counter
from gatepost.services.exporting import (
    Ask,
    End,
    Order,
    Piece,
    Refusal,
    Said,
    Size,
    frame,
    go_decoder,
    order_decoder,
    setup_decoder,
)
from gatepost.services.lists import make_lists
from gatepost.settings import Http
from gatepost.store.beside import Beside
from gatepost.turns import hurry

T = TypeVar("T")

NICE = 10  # so much less does it get of a processor that something else wants
PIECE = 131_072  # octets that are sent at once, at least: each time the daemon's loop is kept from mail for a moment
MOST = 2 * PIECE  # octets; a chunk of wide rows is far larger, and the daemon would hold it as a whole, twice
APART = 0.025  # seconds between two pieces, so that fewer than one reply in a hundred meets with one
FRESH = 0.1  # seconds for which it is known who asks


class Talk:
    """The talk with the daemon, over a socket; nothing else is waited for."""

    def __init__(self, daemon: socket.socket) -> None:
        self._daemon = daemon
        self._source = daemon.makefile("rb")
        self._caller = Caller()
        self._until = 0.0
        self._due = 0.0  # the next piece, by time.monotonic

    def say(self, message: Said) -> None:
        """Send a message, a piece in its time; raise OSError where nobody listens any more."""
        if isinstance(message, Piece):
            time.sleep(max(0.0, self._due - time.monotonic()))
            self._due = time.monotonic() + APART
        self._daemon.sendall(frame(message))

    def hear(self, decoder: msgspec.msgpack.Decoder[T]) -> T:
        """Return the next message; raise EOFError where none comes any more."""
        head = self._source.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError
        return decoder.decode(self._source.read(LENGTH.unpack(head)[0]))

    async def who(self) -> Caller:
        """Return who asks now, or did a moment ago."""
        if time.monotonic() >= self._until:
            self.say(Ask())
            self._caller = self.hear(go_decoder).caller
            self._until = time.monotonic() + FRESH
        return self._caller

    def forget(self) -> None:
        """Let the next one who asks be another."""
        self._until = 0.0


async def serve(talk: Talk) -> None:
    """Make files until the daemon hangs up; raise EOFError or OSError then."""
    setup = talk.hear(setup_decoder)
    if setup.version != installed():
        raise SystemExit(os.EX_CONFIG)  # another one was installed since the daemon began
    store = Beside(Path(setup.database))
    desk = Desk(Counter(make_lists(store, wall_clock)), Ids(setup.seed), Http())
    talk.say(End())
    while True:
        order = talk.hear(order_decoder)
        talk.forget()
        try:
            async for said in _made(order, desk, talk):
                talk.say(said)
        except Problem as problem:
            talk.say(Refusal(problem.kind, problem.detail))
        else:
            talk.say(End())


async def _made(order: Order, desk: Desk, talk: Talk) -> AsyncIterator[Said]:
    operation: Endpoint = getattr(import_module(order.module), order.name)
    call = operation.call(desk, await talk.who(), order.segments, order.query)
    ask, query = await operation.asked(call, talk.who)
    export, chunks = operation.export(desk, order.media), walk(ask, query)
    if order.media == CSV:
        pieces = export.lines(chunks)
    else:
        file, size = await export.book(chunks)
        yield Size(size)
        pieces = pieces_of(file)
    async with contextlib.aclosing(pieces):
        held = bytearray()
        async for piece in pieces:
            held += piece
            if len(held) >= PIECE:
                for some in _split(held):
                    yield some
                held.clear()
        for some in _split(held):
            yield some


def _split(held: bytearray) -> Iterator[Piece]:
    for at in range(0, len(held), MOST):
        yield Piece(bytes(held[at : at + MOST]))


def main() -> None:
    """Run as `python -m gatepost.exporter`, its input a socket; what libraries print goes to the error output."""
    end_with_the_daemon()
    go_before_the_daemon()
    leave_signals_to_the_daemon()
    with contextlib.suppress(OSError):  # the system may not let it
        os.nice(NICE)
    talk = Talk(socket.socket(fileno=os.dup(0)))
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_the_heap()
    spare_the_collector()
    hurry()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        asyncio.run(serve(talk))


if __name__ == "__main__":
    main()
