"""`gatepost serve`: runs the relay in the foreground until a signal, and tells systemd how it fares."""

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from gatepost.app import Gatepost
from gatepost.cli.config import entries
from gatepost.cli.logs import configure
from gatepost.cli.notify import notify, watchdog_seconds
from gatepost.cli.options import config_option, load_settings
from gatepost.cli.running import run
from gatepost.configuration import Loaded, load_again
from gatepost.events import log
from gatepost.model.access import Admin
from gatepost.model.query import All
from gatepost.process import keep_the_heap, spare_the_collector
from gatepost.settings import Settings, SettingsError
from gatepost.sockets import left_over
from gatepost.store.opening import require_store

ECHO = 0.3  # seconds within which a second signal is the first one's echo (make and a terminal both pass it on)


@click.command()
@config_option
def command(config: Path | None) -> None:
    """Run the relay until SIGTERM; SIGHUP reads certificates again, and tells which settings have changed."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # they ask other daemons for a new log file, and would end us
        signal.signal(number, signal.SIG_IGN)
    loaded = load_settings(config)
    configure(loaded.settings.log)
    run(serve(loaded, config))


async def serve(loaded: Loaded, config: Path | None) -> None:
    """Start, tell the manager, wait for a signal, stop. A SIGHUP that comes before the start is over is heeded then."""
    settings = loaded.settings
    early = asyncio.Event()
    on_hangup(early.set)  # left alone it would end us
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # which main held back until now
    require_store(Path(settings.store.directory))
    keep_the_heap()
    async with Gatepost(settings) as gatepost:
        spare_the_collector()
        again = partial(heed_hangup, gatepost, loaded, config)
        stopped = heed_signals(again)
        texts = [*(listener.listen for listener in settings.smtp.listener), *settings.http.listen]
        if names := left_over(texts):
            log.warning("nothing takes what connects to these sockets of systemd", names=names)
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
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which would end the rest of it as no clean stop


def heed_hangup(gatepost: Gatepost, loaded: Loaded, config: Path | None) -> None:
    """Read certificates again, look for settings that have changed, and tell the manager."""
    notify("RELOADING=1")
    gatepost.reload()
    tell_of_changes(loaded, config)
    notify("READY=1")


def tell_of_changes(loaded: Loaded, config: Path | None) -> None:
    """Say which settings differ from those in use, or can't be read: a restart takes them, or fails of them."""
    try:
        now = load_again(config, loaded).settings
    except SettingsError as error:
        log.error("settings not read: those in use stay, and a restart would fail", why=str(error))
        return
    if keys := differing(loaded.settings, now):
        log.warning("settings have changed: `gatepost check` tries them, a restart takes them", keys=keys)
    else:
        log.info("settings are unchanged")


def differing(before: Settings, now: Settings) -> list[str]:
    """Return the keys that have another value now."""
    old, new = dict(entries(before)), dict(entries(now))
    return [key for key in {**old, **new} if old.get(key) != new.get(key)]


def heed_signals(reload: Callable[[], None]) -> asyncio.Event:
    """Return what SIGTERM, SIGINT or SIGQUIT sets; the next of them ends the process at once (threat 89).

    SIGHUP reloads, until then.
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

    def hang_up() -> None:
        if not stopped.is_set():
            reload()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, stop)
    on_hangup(hang_up)
    return stopped


def on_hangup(act: Callable[[], None]) -> None:
    """Have a SIGHUP do that in the loop.

    It is no handler of the loop's own: one that is taken away leaves the signal, for a moment, to end the process.
    """
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(act))


async def feed_watchdog() -> None:
    """Tell the manager that the loop is alive, as often as it wants to hear it."""
    period = watchdog_seconds()
    while period:
        notify("WATCHDOG=1")
        await asyncio.sleep(period)
