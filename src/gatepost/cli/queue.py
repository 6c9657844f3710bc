"""`gatepost queue`: mail on its way, through the running daemon."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from gatepost.cli.control import PAGE, Control
from gatepost.cli.options import json_option, split_host, transport_type, with_control
from gatepost.cli.output import clean, moment, show_json, show_table

TRIES = ("TIME", "SERVER", "TLS", "REPLY", "TOOK")
PLACES = ("DESTINATION", "WAITING", "UNDER WAY", "AT ONCE", "")
HEAD = ("ID", "STATE", "ARRIVED", "NEXT TRY", "TRIES", "SENDER", "RECIPIENT", "LAST REPLY")

ids_argument = click.argument("ids", metavar="ID...", nargs=-1, required=True)


@click.group()
def command() -> None:
    """List, show, hold, release, retry, reroute, bounce, delete and flush deliveries; pause destinations."""


@command.command("list")
@json_option
@with_control
def list_queue(control: Control, as_json: bool) -> None:
    """List what is queued or held."""
    deliveries = queued(control)
    if as_json:
        show_json(list(deliveries))
    else:
        show_table(HEAD, map(_row, deliveries))


@command.command()
@click.argument("delivery_id", metavar="ID")
@json_option
@with_control
def show(control: Control, delivery_id: str, as_json: bool) -> None:
    """Show one delivery: where it goes, and every try of it."""
    found = control.ask("GET", f"/queue/{delivery_id}")
    if as_json:
        show_json(found)
        return
    show_table(HEAD, [_row(found)])
    click.echo(
        f"to {clean(found['destination'])}, until {moment(found['expires'])}; gatepost explain {found['mailId']}"
    )
    show_table(TRIES, map(_try, found["log"]))


@command.command()
@with_control
def flush(control: Control) -> None:
    """Try everything that waits now; what is held stays held."""
    control.ask("POST", "/queue/flush")


@command.command()
@ids_argument
@with_control
def hold(control: Control, ids: Sequence[str]) -> None:
    """Keep deliveries from being tried until they are released; ID "ALL" means all."""
    _move(control, ids, "hold", "held")


@command.command()
@ids_argument
@with_control
def release(control: Control, ids: Sequence[str]) -> None:
    """Let held deliveries go; ID "ALL" means all."""
    _move(control, ids, "release", "released")


@command.command()
@ids_argument
@with_control
def retry(control: Control, ids: Sequence[str]) -> None:
    """Try deliveries now; ID "ALL" means all."""
    _move(control, ids, "retry", "tried now")


@command.command()
@ids_argument
@click.option("--yes", is_flag=True, help="Don't ask before all are deleted.")
@with_control
def delete(control: Control, ids: Sequence[str], yes: bool) -> None:
    """Give deliveries up, without a word to their senders; ID "ALL" means all."""
    if list(ids) == ["ALL"] and not yes:
        click.confirm("Give up every delivery in the queue?", abort=True)
    _move(control, ids, "delete", "deleted")


@command.command()
@ids_argument
@click.option("--reason", default="", metavar="TEXT", help="What their senders are told.")
@click.option("--yes", is_flag=True, help="Don't ask before all are given up.")
@with_control
def bounce(control: Control, ids: Sequence[str], reason: str, yes: bool) -> None:
    """Give deliveries up and tell their senders, where they may be told; ID "ALL" means all."""
    if list(ids) == ["ALL"] and not yes:
        click.confirm("Give up every delivery in the queue?", abort=True)
    _move(control, ids, "bounce", "given up", {"reason": reason} if reason else {})


@command.command()
@ids_argument
@click.option("--to", "to", default="", metavar="HOST[:PORT]", help="The server; without it, their own way again.")
@click.option("--transport", type=transport_type, default="SMTPS_MAY", show_default=True)
@with_control
def reroute(control: Control, ids: Sequence[str], to: str, transport: str) -> None:
    """Send deliveries to another server, or by their own way again; ID "ALL" means all."""
    _move(control, ids, "reroute", "rerouted", {"hop": _server(to, transport) if to else None})


@command.command()
@json_option
@with_control
def destinations(control: Control, as_json: bool) -> None:
    """List what waits for each destination, the fullest first."""
    found = control.ask("GET", "/queue/destinations")
    if as_json:
        show_json(found)
    else:
        show_table(PLACES, map(_place, found))


@command.command()
@click.argument("destination", metavar="DESTINATION")
@with_control
def pause(control: Control, destination: str) -> None:
    """Let nothing go to a destination until it is resumed; named as `destinations` names it."""
    control.ask("POST", "/queue/pause", {"destination": destination})


@command.command()
@click.argument("destination", metavar="DESTINATION")
@with_control
def resume(control: Control, destination: str) -> None:
    """Let mail go to a destination again."""
    control.ask("POST", "/queue/resume", {"destination": destination})


def queued(control: Control) -> Iterator[Any]:
    """Yield the whole queue."""
    for page in _pages(control):
        yield from page


def _pages(control: Control) -> Iterator[list[Any]]:
    """Yield the whole queue, page by page behind the last id seen."""
    last: dict[str, object] = {}
    while page := control.ask("GET", "/queue", sort="id", pageSize=PAGE, **last):
        yield page
        last = {"after": page[-1]["id"]}


def _move(control: Control, ids: Sequence[str], act: str, done: str, body: dict[str, Any] | None = None) -> None:
    """Do one thing to each delivery and say so; the first refusal ends it.

    Of all of them, those that are under way are left alone, and what left meanwhile is no fault.
    """
    if list(ids) == ["ALL"]:
        moved = [
            control.ask("POST", "/queue/bulk", {"act": act, "ids": [each["id"] for each in page], **(body or {})})
            for page in _pages(control)
        ]
        busy = sum(each["busy"] for each in moved)
        click.echo(f"{sum(each['done'] for each in moved)} {done}" + (f", {busy} under way left alone" if busy else ""))
        return
    for delivery_id in ids:
        method, verb = ("DELETE", "") if act == "delete" else ("POST", f"/{act}")
        control.ask(method, f"/queue/{delivery_id}{verb}", body)
        click.echo(f"{delivery_id}: {done}")


def _row(delivery: Any) -> tuple[object, ...]:
    return (
        delivery["id"],
        delivery["state"],
        moment(delivery["created"]),
        moment(delivery["due"]),
        delivery["attempts"],
        delivery["sender"] or "<>",
        delivery["recipient"],
        delivery["lastReply"],
    )


def _try(attempt: Any) -> tuple[object, ...]:
    reply = f"{attempt['code']} {attempt['reply']}" if attempt["code"] else attempt["reply"]
    return moment(attempt["at"]), attempt["hop"], attempt["tls"] or "", reply, f"{attempt['took']} ms"


def _place(place: Any) -> tuple[object, ...]:
    at_once = f"{place['window']} of {place['limit']}"
    return place["name"], place["waiting"], place["underWay"], at_once, "paused" if place["paused"] else ""


def _server(to: str, transport: str) -> dict[str, Any]:
    host, port = split_host(to, 25)
    return {"host": host, "port": port, "transport": transport}
