"""`gatepost trace`: finds mails by sender, recipient, time and what became of them, refused ones too."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import click

from gatepost.cli.alone import reading
from gatepost.cli.audit import Time, millis
from gatepost.cli.control import PAGE, Control
from gatepost.cli.options import json_option, with_settings
from gatepost.cli.output import moment, show_json, show_table
from gatepost.services.status import Status
from gatepost.settings import Settings

HEAD = ("TIME", "ID", "SENDER", "RECIPIENT", "STATUS", "WHY")
WIDEST = 100  # characters of a reason in the table
DAY = 86_400_000

# What each mail counts for, by the name of the option; and the head of that column.
TOPS: dict[str, tuple[str, Callable[[Any], list[str]]]] = {
    "senders": ("SENDER", lambda mail: [mail["sender"] or "<>"]),
    "recipients": ("RECIPIENT", lambda mail: [each["recipient"] or "-" for each in mail["recipients"]]),
    "clients": ("CLIENT", lambda mail: [mail["clientIp"]]),
    "symbols": ("SYMBOL", lambda mail: mail["symbols"]),
    "statuses": ("STATUS", lambda mail: [each["status"] for each in mail["recipients"]]),
}


class Search:
    """The mails that match, read page by page; once they are read, `complete` tells whether that was all of the time.

    `counted` are refusals in that time which were only counted, so that they are not among the mails.
    """

    def __init__(self, control: Control, asked: dict[str, Any]) -> None:
        self._control = control
        self._asked = asked
        self.complete = False
        self.counted = 0

    def mails(self, most: int | None = None) -> Iterator[Any]:
        """Yield the newest ones, at most so many."""
        further: dict[str, str] = {}
        while most is None or most > 0:
            size = PAGE if most is None else min(most, PAGE)
            page = self._control.ask("GET", "/messages", **self._asked, **further, pageSize=size)
            yield from page["mails"]
            most = None if most is None else most - len(page["mails"])
            if page["after"] is None:
                self.complete, self.counted = True, page["counted"]
                return
            further = {"after": page["after"]}


@click.command()
@click.option("--from", "sender", metavar="ADDRESS", help='MAIL FROM, or in From; * stands at an end; "" for none.')
@click.option("--to", "recipient", metavar="ADDRESS", help="The recipient; * stands at an end for anything.")
@click.option("--subject", metavar="TEXT", help="What stands in the subject.")
@click.option("--client", metavar="IP", help="Who brought it; * stands at an end for anything.")
@click.option("--status", type=click.Choice([each.value for each in Status]), help="How it stands for a recipient.")
@click.option(
    "--since", type=Time(), help="From this time on (UTC), or so long ago: 30m, 2h, 7d; else from a day before --until."
)
@click.option("--until", type=Time(), help="Before this time, likewise; else until now.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="So many mails at most."
)
@click.option("--top", type=click.Choice(list(TOPS)), help="Count all that match by this, the most frequent first.")
@json_option
@with_settings
def command(
    settings: Settings,
    since: datetime | None,
    until: datetime | None,
    subject: str | None,
    limit: int,
    top: str | None,
    as_json: bool,
    **asked: str | None,
) -> None:
    """Find mails by sender, recipient, time and what became of them.

    A line for each recipient, the newest first, refused ones too; all that is asked for must hold. `gatepost explain
    ID` tells the rest. With --top it counts mails instead, and --limit lines. Without a daemon the store is asked
    itself.
    """
    end = time.time_ns() // 1_000_000 if until is None else millis(until)
    start = end - DAY if since is None else millis(since)
    if asked["sender"] == "<>":
        asked["sender"] = ""
    subject = None if subject is None else f"*{subject.strip('*')}*"
    given = {name: text for name, text in {**asked, "subject": subject}.items() if text is not None}
    with reading(settings) as control:
        search = Search(control, {"since": start, "until": end, **given})
        found = _mails(search, limit) if top is None else _counts(search, top, limit)
    if as_json:
        show_json({"since": start, "until": end, "complete": search.complete, "counted": search.counted, **found})
        return
    if top is None:
        show_table(HEAD, chain.from_iterable(map(_rows, found["mails"])))
    else:
        show_table((TOPS[top][0], "MAILS"), [(each["name"], each["mails"]) for each in found["top"]])
    for line in _notes(search, start, end, found):
        click.echo(line, err=True)


def _mails(search: Search, limit: int) -> dict[str, Any]:
    return {"mails": list(search.mails(limit))}


def _counts(search: Search, top: str, limit: int) -> dict[str, Any]:
    counts = Counter(chain.from_iterable(TOPS[top][1](mail) for mail in search.mails()))
    return {"top": [{"name": name, "mails": count} for name, count in counts.most_common(limit)]}


def _rows(mail: Any) -> Iterator[tuple[object, ...]]:
    for each in mail["recipients"]:
        recipient = each["recipient"] or "-"
        why = each["why"][:WIDEST]
        yield moment(mail["received"]), mail["id"], mail["sender"] or "<>", recipient, each["status"], why


def _notes(search: Search, start: int, end: int, found: dict[str, Any]) -> Iterator[str]:
    """Yield what the table does not tell: which time it is of, whether it was cut, and what can't stand in it."""
    if not search.complete:
        last = datetime.fromtimestamp(found["mails"][-1]["received"] // 1000 + 1, UTC)
        older = f"older ones with --until {last:%Y-%m-%dT%H:%M:%S}, more at once with --limit"
        yield f"Cut after {len(found['mails'])} mails: {older}."
        return
    yield f"That is all from {moment(start)} until {moment(end)} (UTC); --since goes further back."
    if search.counted:
        yield f"Besides, {search.counted} refusals before DATA were only counted, as many came from one network."
