"""`gatepost check`: tries the settings, and looks the store through, without starting anything."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import click

from gatepost.api.server import check_certificate
from gatepost.cli.control import SOCKET_NAME, Control
from gatepost.cli.failure import Failure
from gatepost.cli.logs import level
from gatepost.cli.options import with_settings
from gatepost.cli.output import clean
from gatepost.dns import Resolver
from gatepost.events import Metrics, wall_clock
from gatepost.filters.engine import Engine
from gatepost.filters.registry import Filter, Tools, load
from gatepost.message import foreign
from gatepost.mta.connect import check_authorities
from gatepost.mta.donelog import DoneLog
from gatepost.mta.routing import smarthost, transport
from gatepost.services.wording import make_wording
from gatepost.settings import Settings, SettingsError
from gatepost.smtp.listener import tls_context
from gatepost.smtp.proxy import networks
from gatepost.sockets import BadEndpoint, listen, split_endpoint
from gatepost.store.check import verify
from gatepost.store.health import StoreProblem
from gatepost.store.opening import DATABASE, DONE_LOG, check_fresh
from gatepost.store.store import Store

_LISTEN = "0A"  # the state in the kernel's tables of sockets


@click.command()
@with_settings
def command(settings: Settings) -> None:
    """Check the settings and the store; exit code 0 when nothing is wrong."""
    wrong = list(wrong_settings(settings))
    for text in wrong:
        click.echo(f"settings: {text}", err=True)
    if wrong:
        raise click.exceptions.Exit(os.EX_CONFIG)
    click.echo("settings: ok")
    for engine in _filters(settings):
        if isinstance(engine, Engine):
            _try_out(engine)
    click.echo(f"archives: {_archives()}")
    click.echo(f"store: {look_through(settings)}")
    taken = list(try_listeners(settings))
    if taken:
        raise Failure("\n".join(taken), os.EX_UNAVAILABLE)
    click.echo("listeners: ok")


def _archives() -> str:
    if foreign.available():
        return "ok"
    return "there is no libarchive, so that RAR, CAB, ISO and rarer ones are unscannable"


def _filters(settings: Settings) -> list[Filter]:
    resolver = Resolver(settings.dns, wall_clock)
    tools = Tools(limits=settings.limits, resolver=resolver, timeout=settings.filters.timeout)
    return load(settings.filters, tools)


def _try_out(engine: Engine) -> None:
    """Say which servers answer; one that does not is no fault of the settings, and may come up later."""
    for server, why in asyncio.run(engine.try_out()):
        click.echo(f"{engine.name}: {clean(server)} {f'does not answer: {clean(why)}' if why else 'answers'}")


def wrong_settings(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each setting that a start would stumble over."""
    for attempt in _attempts(settings):
        try:
            attempt()
        except (SettingsError, Failure) as error:
            yield str(error)
    for where, text in _listening(settings):
        yield from _wrong_endpoint(where, text)


def _listening(settings: Settings) -> list[tuple[str, str]]:
    """Return each text that says where to listen, with the key that gives it."""
    smtp = [("smtp.listener", listener.listen) for listener in settings.smtp.listener]
    return [*smtp, *(("http.listen", text) for text in settings.http.listen)]


def _attempts(settings: Settings) -> Iterator[Callable[[], object]]:
    """Yield what a start makes of the settings before it opens anything."""
    yield partial(_filters, settings)
    yield partial(smarthost, settings.relay)
    yield partial(transport, settings.relay.mx_transport, "relay.mx_transport")
    for key, section in (("relay", settings.relay), ("mta_sts", settings.mta_sts), ("webhooks", settings.webhooks)):
        yield partial(check_authorities, section.ca_file, f"{key}.ca_file")
    yield partial(level, settings.log)
    yield partial(make_wording, settings.notices)
    yield partial(check_certificate, settings.http)
    for listener in settings.smtp.listener:
        yield partial(tls_context, settings, listener)
        yield partial(networks, listener.proxy_protocol_from)


def _wrong_endpoint(where: str, text: str) -> Iterator[str]:
    if text.startswith("fd:"):
        return
    try:
        split_endpoint(text)
    except BadEndpoint as error:
        yield f"{where}: {error}"


def look_through(settings: Settings) -> str:
    """Say how the store is; raise Failure for one that is damaged, or held by a process that does not answer."""
    directory = Path(settings.store.directory)
    try:
        if not (directory / DATABASE).exists():
            check_fresh(directory)
            return f"{directory} holds none yet; `gatepost init` makes it"
        Store.open(directory, clock=wall_clock, metrics=Metrics(), settings=settings.store).close_sync()
        if (directory / DONE_LOG).exists():  # made by the first start, as its user
            DoneLog(directory).close()
    except StoreProblem as problem:
        if problem.code != StoreProblem.LOCKED:
            raise Failure(str(problem), problem.code) from problem
        Control(directory).ask("GET", "/readyz")
        return f"{directory} is in use by a running gatepost, which is ready"
    if faults := [f"{flaw.file}: {flaw.text}" for flaw in verify(directory, settings.store) if flaw.grave]:
        raise Failure("\n".join(faults), StoreProblem.CORRUPT)
    return f"{directory} ok"


def try_listeners(settings: Settings) -> Iterator[str]:
    """Listen on each address of the settings for a moment; yield a sentence for each where a start could not.

    What the daemon of this store listens on itself is no fault, and neither is a port that only the service may open.
    """
    socket_file = Path(settings.store.directory) / SOCKET_NAME
    running = Control(socket_file.parent).answers()
    with ExitStack() as opened:  # all at once, as a start has them
        for where, text in _listening(settings):
            if text.startswith("fd:"):
                continue
            try:
                for sock in listen(text):
                    opened.enter_context(sock)
            except PermissionError:
                click.echo(f"{where}: {text} can't be tried by this user, who may not open ports below 1024")
            except OSError as error:
                if not (running and error.errno == errno.EADDRINUSE and _all_of(socket_file, split_endpoint(text)[1])):
                    yield f"{where}: {error.strerror}"


def _all_of(file: Path, port: int) -> bool:
    """Tell whether a file's owner has all that listens on a TCP port, as far as the kernel tells (proc_pid_net(5))."""
    users = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
            users |= {int(row[7]) for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}
    return users <= {file.stat().st_uid}
