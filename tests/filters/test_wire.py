"""How engines are spoken to: the answer of a server that has heard enough outlives its hanging up."""

import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from tests.filters.engines import together

from gatepost.filters.wire import Place, Unreachable, Wire, connected, exchange

ENOUGH = b"enough\n"


def _hang_up_early(listener: socket.socket, gone: threading.Event) -> None:
    """Answer what begins to come, and hang up with the rest unread: the client's next octets meet a closed door."""
    peer, _ = listener.accept()
    with peer:
        peer.recv(1)
        peer.sendall(ENOUGH)
    gone.set()


def _listen(kind: str, folder: Path) -> tuple[socket.socket, Place]:
    if kind == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "s"))
        where = Place("", 0, str(folder / "s"))
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        where = Place(*listener.getsockname())
    listener.listen()
    return listener, where


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_an_answer_is_heard_though_the_server_has_hung_up_on_what_is_still_said(kind: str, tmp_path: Path) -> None:
    gone = threading.Event()
    listener, where = _listen(kind, tmp_path)

    async def speak(wire: Wire) -> None:
        await wire.say(b"x" * 1_000)
        gone.wait(30)  # the loop is held on purpose: nothing is read before the next octets are written
        with suppress(ConnectionError):
            await wire.say(b"y")  # draws a reset where the server's close has not
        await wire.say(b"z" * 1_000)

    async def ask() -> tuple[str, bool]:
        async with connected(where, 30) as wire:
            return await exchange(speak(wire), wire.line())

    server = threading.Thread(target=_hang_up_early, args=(listener, gone))
    with listener:
        server.start()
        try:
            assert together(ask) == ("enough", False)
        finally:
            server.join()


def test_a_server_that_is_not_there_is_told_of_in_the_systems_words() -> None:
    async def ask(where: Place) -> None:
        async with connected(where, 30):
            pass

    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match=r"\AConnection refused\Z"):
            together(lambda: ask(Place(*taken.getsockname())))
