"""`gatepost dev`: a relay to try things out, with a sample domain, a catch-all next hop, and sample mails explained."""

import asyncio
import errno
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import click
import msgspec

from gatepost.app import Gatepost
from gatepost.cli import samples
from gatepost.cli.control import Control
from gatepost.cli.failure import Failure
from gatepost.cli.init import found
from gatepost.cli.logs import configure
from gatepost.cli.output import columns, room
from gatepost.cli.running import run
from gatepost.cli.send import Client, connect, hand_over
from gatepost.cli.serve import heed_signals
from gatepost.cli.story import ending
from gatepost.events import wall_clock
from gatepost.settings import Dns, Http, Limits, Listener, Log, Relay, Settings, Smtp, StoreSettings
from gatepost.smtp.sink import CatchAll

HEAD = ("SAMPLE", "ANSWER", "WHAT BECAME OF IT", "WHY", "ID")
PORT = click.IntRange(0, 65_535)
ANEW = "remove the directory to begin anew"
FREE = "A free one is taken when this one is in use."
PATIENCE = 200  # looks at a trace, 50 ms apart, until the delivery is settled


class Bench(msgspec.Struct, frozen=True):
    """What is remembered of a sample store from one run to the next; the file is its owner's alone."""

    login: str
    password: str
    token: str
    hop_port: int


class Doors(msgspec.Struct, frozen=True):
    """Where the relay is reached."""

    smtp: str
    url: str
    directory: Path


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("state-dev"),
    show_default=True,
    help="Where its settings and its store lie; a later run goes on with them.",
)
@click.option("--smtp-port", type=PORT, default=2525, show_default=True, help=FREE)
@click.option("--http-port", type=PORT, default=8025, show_default=True, help=FREE)
@click.option("--once", is_flag=True, help="End after the sample mails instead of at Ctrl-C.")
def command(directory: Path, smtp_port: int, http_port: int, once: bool) -> None:
    """Run a relay to try things out, with sample mails."""
    configure(Log(level="warning"))
    run(dev(sandbox(directory.resolve(), if_free(smtp_port), if_free(http_port)), once=once))


async def dev(settings: Settings, *, once: bool) -> None:
    """Start everything, send the samples, tell what became of them, and stay until a signal."""
    sink = CatchAll()
    bench = await prepare(settings, sink)
    gatepost = await started(settings)
    try:
        stopped = heed_signals(gatepost.reload)
        _, host, port = gatepost.listeners.addresses[0]
        doors = Doors(f"{host}:{port}", gatepost.urls[0], Path(settings.store.directory))
        for line in await asyncio.to_thread(lambda: list(try_out(doors, bench))):
            click.echo(line)
        if not once:
            click.echo("\nCtrl-C ends it.")
            await stopped.wait()
    finally:
        await gatepost.stop()
    await sink.stop()


async def started(settings: Settings) -> Gatepost:
    """Start a relay; on any free ports where one has been taken since it was looked for."""
    gatepost = Gatepost(settings)
    try:
        await gatepost.start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        gatepost = Gatepost(sandbox(Path(settings.store.directory), 0, 0))
        await gatepost.start()
    return gatepost


def if_free(port: int) -> int:
    """Return the port, or 0 (any) when something listens there."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def sandbox(directory: Path, smtp_port: int, http_port: int) -> Settings:
    """Return settings that keep to loopback and to one directory."""
    return Settings(
        smtp=Smtp(hostname="gatepost.test", listener=[Listener(listen=f"127.0.0.1:{smtp_port}")]),
        http=Http(listen=[f"127.0.0.1:{http_port}"]),
        store=StoreSettings(directory=str(directory), reserve_bytes=0, reserve_percent=0.0),
        dns=Dns(timeout=1.0),
        relay=Relay(private_platforms="everyone"),
        limits=Limits(shutdown=3.0),
    )


async def prepare(settings: Settings, sink: CatchAll) -> Bench:
    """Found the store at the first run; start the next hop on the port that the sample domain knows."""
    path = Path(settings.store.directory) / "dev.json"
    if path.exists():
        try:
            bench = msgspec.json.decode(path.read_bytes(), type=Bench)
        except msgspec.DecodeError as error:
            raise Failure(f"{path}: {error}: {ANEW}", os.EX_DATAERR) from error
        try:
            await sink.start(bench.hop_port)
        except OSError as error:
            why = f"port {bench.hop_port}, its next hop's, is taken"
            raise Failure(
                f"{path.parent}: {why}: end the `gatepost dev` that runs on it, or {ANEW}", os.EX_UNAVAILABLE
            ) from error
        return bench
    try:
        first = await asyncio.to_thread(found, settings)
    except Failure as failure:
        if failure.code != os.EX_CANTCREAT:
            raise
        why = "holds another's store, or that of a `gatepost dev` that was broken off; name another one by --directory"
        raise Failure(f"{path.parent}: {why}", failure.code) from failure
    bench = Bench(first.login, first.password, first.token, await sink.start())
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(bench))
    path.with_name("gatepost.toml").write_text('[store]\ndirectory = "."\n')  # so that other commands find the store
    return bench


def try_out(doors: Doors, bench: Bench) -> Iterator[str]:
    """Lay down the sample domain and its rules, send the samples, and yield what to tell."""
    control = Control(doors.directory)
    furnish(control, bench.hop_port)
    tried = [_try(control, doors.smtp, sample) for sample in samples.samples(wall_clock())]
    yield from columns(HEAD, tried, room())
    yield from _directions(doors, bench)


def furnish(control: Control, hop_port: int) -> None:
    """Make the sample domain, its user and rules, unless they are there from an earlier run."""
    if any(control.every("/domains", name=samples.DOMAIN)):
        return
    platform = {"name": "catch-all", "transportDest": "127.0.0.1", "transportType": "SMTP", "transportPort": hop_port}
    domain = control.ask("POST", "/domains", {**samples.SERVED, "platforms": [platform]})
    user = {"email": samples.USER, "status": "ENABLED", "domainId": domain["id"], "firstname": "Alice"}
    control.ask("POST", "/users", user)
    control.ask("POST", "/wblist", samples.SENDER_RULES)
    for rule in samples.ATTACHMENT_RULES:
        control.ask("POST", f"/domains/{domain['id']}/filters/attachments", rule)
    for rule in samples.URI_RULES:
        control.ask("POST", f"/domains/{domain['id']}/filters/uris", rule)


def _try(control: Control, server: str, sample: samples.Sample) -> tuple[str, ...]:
    """Send one sample and return its row of the table."""
    with connect(_Mute, server, "client.test") as client:
        code, text = hand_over(client, sample.sender, [samples.USER], sample.mail)
    mail_id = _told_id(text)
    life = _settled(control, mail_id)
    what, why = ending(life)
    return sample.about, f"{code} {text.split(' ', 1)[0]}", what, why, mail_id


def _told_id(reply: str) -> str:
    """Return our id out of a reply: "queued as ID" or "id=ID"."""
    match = re.search(r"[0-9a-f]{32}", reply)
    if not match:
        raise Failure(f"the relay gave no id: {reply}", os.EX_SOFTWARE)
    return match[0]


def _settled(control: Control, mail_id: str) -> Any:
    """Return the mail's life once its delivery is no longer on its way."""
    for _ in range(PATIENCE):
        life = control.ask("GET", f"/messages/{mail_id}/trace")
        if all(delivery["state"] != "queued" for delivery in life["deliveries"]):
            break
        time.sleep(0.05)
    return life


def _directions(doors: Doors, bench: Bench) -> Iterator[str]:
    own = quote(os.path.relpath(Path(sys.executable).with_name("gatepost")))
    yield ""
    yield f"SMTP       {doors.smtp}   for any address @{samples.DOMAIN}"
    yield f"REST API   {doors.url}   /docs shows it in a browser; /openapi.json, /readyz, /metrics"
    yield f"sign-in    {bench.login} / {bench.password}"
    yield ""
    yield "Try:"
    yield f"  curl -H 'Authorization: Bearer {bench.token}' {doors.url}/domains"
    yield f"  {own} send --server {doors.smtp} --from {samples.FRIEND} --to {samples.USER}"
    yield f"  {own} explain --config {quote(str(doors.directory / 'gatepost.toml'))} ID"


class _Mute(Client):
    """A client that shows nothing of its dialog."""

    show = staticmethod(lambda _line: None)
