"""`gatepost queue`: mail on its way, through the running daemon."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import click

from gatepost.cli.control import PAGE, Control, segment
from gatepost.cli.domain import find_domain
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, split_host, together, transport_option, with_control
from gatepost.cli.output import clean, make_sure, moment, one_by_one, show_json, show_list, show_table

TRIES = ("TIME", "SERVER", "TLS", "REPLY", "TOOK")
PLACES = ("DESTINATION", "WAITING", "UNDER WAY", "AT ONCE", "")
HEAD = ("ID", "STATE", "ARRIVED", "NEXT TRY", "TRIES", "SENDER", "RECIPIENT", "LAST REPLY")

ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)
_which_options = (
    click.option("--state", type=click.Choice(["queued", "held"], case_sensitive=False), help="Those in one state."),
    click.option("--recipient", metavar="ADDRESS", help="Those to ADDRESS; a star at an end stands for anything."),
    click.option("--sender", metavar="ADDRESS", help='Those from ADDRESS, likewise; "" is the null sender.'),
    click.option("--mail", metavar="ID", help="Those of one mail."),
    click.option("--domain", metavar="NAME", help="Those of a served domain."),
    click.option("--destination", metavar="NAME", help="Those that wait for it, as `destinations` names it."),
)


def which_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `which`, what deliveries must have in common in the words of the API, in place of options."""

    @functools.wraps(command)
    def run(control: Control, *, mail: str | None, domain: str | None, **named: Any) -> Any:
        given = {name: named.pop(name) for name in ("state", "recipient", "sender", "destination")}
        given |= {"mailId": mail, "domainId": domain and find_domain(control, domain)["id"]}
        which = {name: value for name, value in given.items() if value is not None}
        return command(control=control, which=which, **named)

    return together(*_which_options)(run)


@click.group()
def command() -> None:
    """List, show, hold, release, retry, reroute, bounce, delete and flush deliveries; pause destinations."""


@command.command("list")
@json_option
@with_control
@which_options
def list_queue(control: Control, which: dict[str, Any], as_json: bool) -> None:
    """List what is queued or held; of several options only --domain and --destination go with another."""
    deliveries = queued(control, **which)
    show_list(deliveries, as_json, HEAD, _row)


@command.command()
@click.argument("delivery_id", metavar="ID")
@json_option
@with_control
def show(control: Control, delivery_id: str, as_json: bool) -> None:
    """Show one delivery: where it goes, and every try of it."""
    found = control.ask("GET", f"/queue/{segment(delivery_id)}")
    if as_json:
        show_json(found)
        return
    show_table(HEAD, [_row(found)])
    click.echo(
        f"to {clean(found['destination'])}, until {moment(found['expires'])}; gatepost explain {found['mailId']}"
    )
    show_table(TRIES, map(_try, found["log"]))


@command.command()
@json_option
@with_control
def flush(control: Control, as_json: bool) -> None:
    """Try everything that waits now; what is held, or under way, stays as it is."""
    moved = control.ask("POST", "/queue/flush")
    if as_json:
        show_json(moved)
    else:
        click.echo(_told([moved], "tried now"))


@command.command()
@ids_argument
@with_control
@which_options
def hold(control: Control, ids: Sequence[str], which: dict[str, Any]) -> None:
    """Keep deliveries from being tried until they are released; ID "ALL" means all, options all that match."""
    _move(control, ids, which, "hold", "held")


@command.command()
@ids_argument
@with_control
@which_options
def release(control: Control, ids: Sequence[str], which: dict[str, Any]) -> None:
    """Let held deliveries go; ID "ALL" means all, options all that match."""
    _move(control, ids, which, "release", "released")


@command.command()
@ids_argument
@with_control
@which_options
def retry(control: Control, ids: Sequence[str], which: dict[str, Any]) -> None:
    """Try deliveries now; ID "ALL" means all, options all that match."""
    _move(control, ids, which, "retry", "tried now")


@command.command()
@ids_argument
@click.option("--yes", is_flag=True, help="Don't ask before many are deleted.")
@with_control
@which_options
def delete(control: Control, ids: Sequence[str], which: dict[str, Any], yes: bool) -> None:
    """Give deliveries up, without a word to their senders; ID "ALL" means all, options all that match."""
    _confirm(ids, which, yes=yes)
    _move(control, ids, which, "delete", "deleted")


@command.command()
@ids_argument
@click.option("--reason", default="", metavar="TEXT", help="What their senders are told.")
@click.option("--yes", is_flag=True, help="Don't ask before many are given up.")
@with_control
@which_options
def bounce(control: Control, ids: Sequence[str], which: dict[str, Any], reason: str, yes: bool) -> None:
    """Give deliveries up and tell their senders, where they may be told; ID "ALL" means all, options all that match."""
    _confirm(ids, which, yes=yes)
    _move(control, ids, which, "bounce", "given up", {"reason": reason} if reason else {})


@command.command()
@ids_argument
@click.option("--to", "to", default="", metavar="HOST[:PORT]", help="The server; without it, their own way again.")
@transport_option
@with_control
@which_options
def reroute(control: Control, ids: Sequence[str], which: dict[str, Any], to: str, transport: str) -> None:
    """Send deliveries to another server, or by their own way again; ID "ALL" means all, options all that match."""
    _move(control, ids, which, "reroute", "rerouted", {"hop": _server(to, transport) if to else None})


@command.command()
@json_option
@with_control
def destinations(control: Control, as_json: bool) -> None:
    """List what waits for each destination, the fullest first."""
    found = control.ask("GET", "/queue/destinations")
    show_list(found, as_json, PLACES, _place)


@command.command()
@click.argument("destination", metavar="DESTINATION")
@json_option
@with_control
def pause(control: Control, destination: str, as_json: bool) -> None:
    """Let nothing go to a destination until it is resumed; named as `destinations` names it."""
    _set(control, destination, "pause", "paused", as_json)


@command.command()
@click.argument("destination", metavar="DESTINATION")
@json_option
@with_control
def resume(control: Control, destination: str, as_json: bool) -> None:
    """Let mail go to a destination again."""
    _set(control, destination, "resume", "resumed", as_json)


def queued(control: Control, **which: object) -> Iterator[Any]:
    """Yield the whole queue, or what of it the API's filters say."""
    return chain.from_iterable(_pages(control, **which))


def _pages(control: Control, **which: object) -> Iterator[list[Any]]:
    return control.pages("/queue", sort="id", pageSize=PAGE, **which)


def _confirm(ids: Sequence[str], which: dict[str, Any], *, yes: bool) -> None:
    """Ask before many are given up."""
    if _is_many(ids, which) and not yes:
        make_sure(f"Give up every delivery {'that matches' if which else 'in the queue'}?")


def _is_many(ids: Sequence[str], which: dict[str, Any]) -> bool:
    """Tell whether all are meant, or all that match."""
    if ids and which:
        raise Failure("name deliveries, or say by options which; not both", os.EX_USAGE)
    if not ids and not which:
        raise Failure('name deliveries, or say by options which; ID "ALL" means all', os.EX_USAGE)
    return bool(which) or list(ids) == ["ALL"]


def _move(
    control: Control,
    ids: Sequence[str],
    which: dict[str, Any],
    act: str,
    done: str,
    body: dict[str, Any] | None = None,
) -> None:
    """Do one thing to each delivery and say so; the first refusal ends it, and names its delivery.

    Of all, or all that match, those that are under way are left alone, and what left meanwhile is no fault.
    """
    if _is_many(ids, which):
        asked = {"act": act, **which, **(body or {})}
        moved = [
            control.ask("POST", "/queue/bulk", {**asked, "ids": [each["id"] for each in page]})
            for page in _pages(control)
        ]
        click.echo(_told(moved, done))
        return
    method, verb = ("DELETE", "") if act == "delete" else ("POST", f"/{act}")
    one_by_one(ids, lambda delivery_id: control.ask(method, f"/queue/{segment(delivery_id)}{verb}", body), done)


def _told(moved: Sequence[Any], done: str) -> str:
    """Say how many were moved, and how many were let be."""
    busy = sum(each["busy"] for each in moved)
    return f"{sum(each['done'] for each in moved)} {done}" + (f", {busy} under way left alone" if busy else "")


def _set(control: Control, destination: str, act: str, done: str, as_json: bool) -> None:
    """Pause or resume a destination, and say so."""
    control.ask("POST", f"/queue/{act}", {"destination": destination})
    if as_json:
        show_json({"destination": destination, "paused": act == "pause"})
    else:
        click.echo(f"{clean(destination)}: {done}")


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
