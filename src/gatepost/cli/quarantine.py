"""`gatepost quarantine`: mail that is held, over all mailboxes, through the running daemon."""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import click

from gatepost.cli.control import PAGE, Control, segment
from gatepost.cli.domain import find_domain
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, together, with_control
from gatepost.cli.output import clean, make_sure, moment, one_by_one, show_json, show_table
from gatepost.model.verdict import Category

HEAD = ("ID", "RECEIVED", "CATEGORY", "SCORE", "SENDER", "MAILBOX", "SUBJECT", "UNTIL", "RELEASED")
CATEGORIES = [category.name.lower().replace("_", "-") for category in Category if category is not Category.CLEAN]
SHOWN = 50

ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)
_which_options = (
    click.option("--domain", metavar="NAME", help="What is held for a served domain."),
    click.option("--mailbox", metavar="ADDRESS", help="For one address; a star at an end stands for anything."),
    click.option("--category", type=click.Choice(CATEGORIES, case_sensitive=False), help="Held as this."),
    click.option("--sender", metavar="ADDRESS", help='From an envelope sender, likewise; "" is the null sender.'),
    click.option("--subject", metavar="TEXT", help="With this subject, likewise."),
)


def which_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `which`, what held mails must have in common in the words of the API, in place of options."""

    @functools.wraps(command)
    def run(control: Control, *, domain: str | None, **named: Any) -> Any:
        given = {name: named.pop(name) for name in ("mailbox", "category", "sender", "subject")}
        given["domainId"] = domain and find_domain(control, domain)["id"]
        which = {name: value for name, value in given.items() if value is not None}
        return command(control=control, which=which, **named)

    return together(*_which_options)(run)


@click.group()
def command() -> None:
    """List, show, release and delete quarantined mail of all mailboxes."""


@command.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="The newest so many.")
@json_option
@with_control
@which_options
def list_quarantine(control: Control, which: dict[str, Any], limit: int, as_json: bool) -> None:
    """List what is held, the newest first; of several options all must hold."""
    held = list(islice(_newest(control, **which), min(limit + 1, sys.maxsize)))
    if as_json:
        show_json(held[:limit])
        return
    show_table(HEAD, map(_row, held[:limit]))
    if len(held) > limit:
        click.echo(f"There are more; --limit shows more than {limit}.")


@command.command()
@click.argument("held_id", metavar="ID")
@json_option
@with_control
def show(control: Control, held_id: str, as_json: bool) -> None:
    """Show one held mail: why it is held, and how its release stands."""
    held = control.ask("GET", _path(held_id))
    if as_json:
        show_json(held)
        return
    show_table(HEAD, [_row(held)])
    click.echo(f"held because: {clean(held['reason'])}; gatepost explain {held['mailId']}")
    if held["heldFor"]:
        click.echo(f"it was to leave to: {', '.join(map(clean, held['heldFor']))}")
    if release := held["releaseStatus"]:
        click.echo(f"released: {release['state'].lower()}, {clean(release['reply'] or 'not tried yet')}")


@command.command()
@ids_argument
@click.option("--infected", is_flag=True, help="Confirm that it is infected, and goes on all the same.")
@click.option("--yes", is_flag=True, help="Don't ask before all that match are released.")
@with_control
@which_options
def release(control: Control, ids: Sequence[str], which: dict[str, Any], infected: bool, yes: bool) -> None:
    """Send held mail on to its mailbox, or to whom it was to leave, as it came; nothing is filtered again.

    Options instead of an ID mean all that match and were not released before: what is not infected, or with --infected
    what is.
    """

    def wanted(held: Any) -> bool:
        return held["infected"] is infected and held["releasedAt"] is None

    ids = _chosen(control, ids, which, "Release", wanted, yes=yes)
    send = partial(control.confirm, "POST", header="X-Virus-Lover") if infected else partial(control.ask, "POST")
    one_by_one(ids, lambda held_id: send(f"{_path(held_id)}/release"), "released")


@command.command()
@ids_argument
@click.option("--yes", is_flag=True, help="Don't ask before all that match are deleted.")
@with_control
@which_options
def delete(control: Control, ids: Sequence[str], which: dict[str, Any], yes: bool) -> None:
    """Delete held mail before its term; what became of it stays on record.

    Options instead of an ID mean all that match.
    """
    ids = _chosen(control, ids, which, "Delete", lambda held: True, yes=yes)
    one_by_one(ids, lambda held_id: control.ask("DELETE", _path(held_id)), "deleted")


def _chosen(
    control: Control, ids: Sequence[str], which: dict[str, Any], act: str, wanted: Callable[[Any], bool], *, yes: bool
) -> Sequence[str]:
    """Return the ids that were given, or those of what matches, once somebody has said that all of it is meant."""
    if bool(ids) == bool(which):
        raise Failure("give either IDs or options that say which", os.EX_USAGE)
    if ids:
        return ids
    held = [each["id"] for each in _newest(control, **which) if wanted(each)]
    if held and not yes:
        make_sure(f"{act} {len(held)} of them?")
    return held


def _newest(control: Control, **asked: object) -> Iterator[Any]:
    while page := control.ask("GET", "/quarantine", pageSize=PAGE, **asked):
        yield from page
        asked["before"] = page[-1]["id"]


def _path(held_id: str) -> str:
    return f"/quarantine/{segment(held_id)}"


def _row(held: Any) -> tuple[object, ...]:
    return (
        held["id"],
        moment(held["receivedDate"]),
        held["category"],
        f"{held['score']:.1f}",
        held["sender"] or "<>",
        held["mailbox"],
        held["subject"],
        moment(held["expiresAt"]),
        moment(held["releasedAt"]),
    )
