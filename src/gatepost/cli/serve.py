"""`gatepost serve`: runs the relay in the foreground until a signal, and tells systemd how it fares."""

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from gatepost.app import Gatepost
from gatepost.cli.logs import configure
from gatepost.cli.notify import notify, watchdog_seconds
from gatepost.cli.options import with_settings
from gatepost.cli.running import run
from gatepost.events import log
from gatepost.model.access import Admin
from gatepost.model.query import All
from gatepost.process import keep_the_heap, spare_the_collector
from gatepost.settings import Settings
from gatepost.store.opening import require_store

ECHO = 0.3  # seconds within which a second signal is the first one's echo (make and a terminal both pass it on)


@click.command()
@with_settings
def command(settings: Settings) -> None:
    """Run the relay until SIGTERM; SIGHUP reads certificates again."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # they ask other daemons for a new log file, and would end us
        signal.signal(number, signal.SIG_IGN)
    configure(settings.log)
    run(serve(settings))


async def serve(settings: Settings) -> None:
    """Start, tell the manager, wait for a signal, stop. A SIGHUP that comes before the start is over is heeded then."""
    early = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, early.set)  # left alone it would end us
    require_store(Path(settings.store.directory))
    keep_the_heap()
    async with Gatepost(settings) as gatepost:
        spare_the_collector()
        again = partial(reload_certificates, gatepost)
        stopped = heed_signals(again)
        if gatepost.store.reader.first(Admin, All(())) is None:
            log.warning("there is no administrator yet: stop the service, run `gatepost init`, and start it again")
        notify("READY=1", f"STATUS=ready; store in {settings.store.directory}")
        if early.is_set():
            again()
        watchdog = asyncio.create_task(feed_watchdog())
        await stopped.wait()
        notify("STOPPING=1", "STATUS=finishing what is under way")
        log.info("stopping")
        watchdog.cancel()
    log.info("stopped")


def reload_certificates(gatepost: Gatepost) -> None:
    """Read certificates again, and tell the manager."""
    notify("RELOADING=1")
    gatepost.reload()
    notify("READY=1")


def heed_signals(reload: Callable[[], None]) -> asyncio.Event:
    """Return what SIGTERM, SIGINT or SIGQUIT sets; the next of them ends the process at once (threat 89).

    SIGHUP reloads.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    first = 0.0

    def stop() -> None:
        nonlocal first
        if not stopped.is_set():
            first = loop.time()
            stopped.set()
        elif loop.time() - first > ECHO:
            os._exit(os.EX_TEMPFAIL)  # what is acknowledged is on the disc

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stopped


async def feed_watchdog() -> None:
    """Tell the manager that the loop is alive, as often as it wants to hear it."""
    period = watchdog_seconds()
    while period:
        notify("WATCHDOG=1")
        await asyncio.sleep(period)
