"""Asks a store that no daemon holds: for as long as a command asks its rooms are in this process, without doors."""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatepost.api.control import open_control
from gatepost.app import Gatepost
from gatepost.cli.control import SOCKET_NAME, Control
from gatepost.cli.failure import Failure
from gatepost.cli.logs import configure
from gatepost.cli.running import run
from gatepost.settings import Log, Settings
from gatepost.store.opening import DATABASE


@contextmanager
def reading(settings: Settings) -> Iterator[Control]:
    """Give the running daemon, else one that knows the store alone, for questions that only the store answers.

    Nothing is delivered then, no door is open, and what filters have learnt is not loaded.
    """
    directory = Path(settings.store.directory)
    control = Control(directory)
    if control.answers() or not (directory / DATABASE).exists():
        yield control
    else:
        with _answering(settings) as alone:
            yield alone


@contextmanager
def _answering(settings: Settings) -> Iterator[Control]:
    """Answer from a thread as the daemon would, in a place of this process's own; raise Failure where that can't be."""
    configure(Log(level="warning"))
    opened, over = threading.Event(), threading.Event()
    failures: list[Failure] = []
    with tempfile.TemporaryDirectory() as place:

        def answer() -> None:
            try:
                run(_serve(settings, Path(place), opened, over))
            except Failure as failure:
                failures.append(failure)
            finally:
                opened.set()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            opened.wait()
            if failures:
                raise failures[0]
            yield Control(Path(place))
        finally:
            over.set()
            thread.join()


async def _serve(settings: Settings, place: Path, opened: threading.Event, over: threading.Event) -> None:
    gatepost = Gatepost(settings)
    try:
        gatepost.build()
        close = await open_control(gatepost.site, place / SOCKET_NAME)
        try:
            opened.set()
            await asyncio.to_thread(over.wait)
        finally:
            await close()
    finally:
        await gatepost.stop()
