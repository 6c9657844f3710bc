"""`gatepost queue`: mail on its way, through the running daemon."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from gatepost.cli.control import PAGE, Control
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import moment, show_json, show_table

HEAD = ("ID", "STATE", "ARRIVED", "NEXT TRY", "TRIES", "SENDER", "RECIPIENT", "LAST REPLY")

ids_argument = click.argument("ids", metavar="ID...", nargs=-1, required=True)


@click.group()
def command() -> None:
    """List, hold, release, retry, delete and flush deliveries."""


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
@with_control
def flush(control: Control) -> None:
    """Try everything that waits now; what is held stays held."""
    control.ask("POST", "/queue/flush")


@command.command()
@ids_argument
@with_control
def hold(control: Control, ids: Sequence[str]) -> None:
    """Keep deliveries from being tried until they are released; ID "ALL" means all."""
    _each(control, ids, "POST", "/hold", "held")


@command.command()
@ids_argument
@with_control
def release(control: Control, ids: Sequence[str]) -> None:
    """Let held deliveries go; ID "ALL" means all."""
    _each(control, ids, "POST", "/release", "released")


@command.command()
@ids_argument
@with_control
def retry(control: Control, ids: Sequence[str]) -> None:
    """Try deliveries now; ID "ALL" means all."""
    _each(control, ids, "POST", "/retry", "tried now")


@command.command()
@ids_argument
@click.option("--yes", is_flag=True, help="Don't ask before all are deleted.")
@with_control
def delete(control: Control, ids: Sequence[str], yes: bool) -> None:
    """Give deliveries up, without a word to their senders; ID "ALL" means all."""
    if list(ids) == ["ALL"] and not yes:
        click.confirm("Give up every delivery in the queue?", abort=True)
    _each(control, ids, "DELETE", "", "deleted")


def queued(control: Control) -> Iterator[Any]:
    """Yield the whole queue, page by page behind the last id seen."""
    last: dict[str, object] = {}
    while page := control.ask("GET", "/queue", sort="id", pageSize=PAGE, **last):
        yield from page
        last = {"after": page[-1]["id"]}


def _each(control: Control, ids: Sequence[str], method: str, verb: str, done: str) -> None:
    """Do one thing to each delivery and say so; the first refusal ends it."""
    chosen = [each["id"] for each in queued(control)] if list(ids) == ["ALL"] else ids
    for delivery_id in chosen:
        control.ask(method, f"/queue/{delivery_id}{verb}")
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
