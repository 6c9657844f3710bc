"""`gatepost check`: tries the settings, and looks the store through, without starting anything."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

from gatepost.api.server import check_certificate
from gatepost.cli.control import Control
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
from gatepost.mta.routing import smarthost, transport
from gatepost.services.wording import make_wording
from gatepost.settings import Settings, SettingsError
from gatepost.smtp.listener import tls_context
from gatepost.smtp.proxy import networks
from gatepost.sockets import BadEndpoint, split_endpoint
from gatepost.store.health import StoreProblem
from gatepost.store.opening import DATABASE, check_fresh
from gatepost.store.store import Store


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
    for listener in settings.smtp.listener:
        yield from _wrong_endpoint("smtp.listener", listener.listen)
    for text in settings.http.listen:
        yield from _wrong_endpoint("http.listen", text)
    yield from _twice([*(listener.listen for listener in settings.smtp.listener), *settings.http.listen])


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


def _twice(listening: list[str]) -> Iterator[str]:
    """Yield a sentence for each address that two listeners ask for; port 0 is another one each time."""
    for text, times in Counter(listening).items():
        if times > 1 and not text.endswith(":0"):
            yield f"{text}: {times} listeners ask for this address"


def look_through(settings: Settings) -> str:
    """Say how the store is; raise Failure for one that is damaged, or held by a process that does not answer."""
    directory = Path(settings.store.directory)
    try:
        if not (directory / DATABASE).exists():
            check_fresh(directory)
            return f"{directory} holds none yet; `gatepost init` makes it"
        store = Store.open(directory, clock=wall_clock, metrics=Metrics(), settings=settings.store)
    except StoreProblem as problem:
        if problem.code != StoreProblem.LOCKED:
            raise Failure(str(problem), problem.code) from problem
        Control(directory).ask("GET", "/readyz")
        return f"{directory} is in use by a running gatepost, which is ready"
    try:
        faults = [*store.faults, *store.reader.quick_check()]
    finally:
        store.close_sync()
    if faults:
        raise Failure("\n".join(faults), StoreProblem.CORRUPT)
    return f"{directory} ok"
