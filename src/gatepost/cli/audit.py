"""`gatepost audit`: who changed what, from the running daemon."""

import re
import sys
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

import click
import msgspec

from gatepost.cli.control import PAGE, Control
from gatepost.cli.domain import find_domain
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import moment, show_list

HEAD = ("TIME", "WHO", "FROM", "ACT", "WHAT", "CHANGE")
WIDEST = 100  # characters of a change in the table

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Time(click.DateTime):
    """A time of UTC, or how long ago."""

    name = "time"

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        ago = re.fullmatch(r"(\d{1,5})([mhd])", str(value))
        if ago:
            return datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no time; give 2026-11-19, 2026-11-19T08:00 (UTC), or 30m, 2h, 7d ago", param, ctx)


@click.command()
@click.option("--login", help="Only what this account did; * stands at an end for anything.")
@click.option("--kind", help="Only what befell objects of this kind: domain, user, policy ...")
@click.option("--object", "object_id", help="Only what befell the object of this id.")
@click.option("--domain", help="Only what befell this domain and all that is its.")
@click.option("--since", type=Time(), help="From this time on (UTC), or so long ago: 30m, 2h, 7d.")
@click.option("--until", type=Time(), help="Before this time, likewise.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="So many entries at most.")
@json_option
@with_control
def command(
    control: Control, since: datetime | None, until: datetime | None, limit: int, as_json: bool, **asked: str | None
) -> None:
    """Show who changed what, the newest first; of --login, --kind, --object and --domain one at most."""
    filters = {name: text for name, text in _filters(control, **asked).items() if text is not None}
    times = {name: millis(when) for name, when in (("since", since), ("until", until)) if when is not None}
    pages = control.pages("/audit", pageSize=min(limit, PAGE), **filters, **times)
    entries = list(islice(chain.from_iterable(pages), min(limit, sys.maxsize)))
    show_list(entries, as_json, HEAD, _row)


def _filters(
    control: Control, *, login: str | None, kind: str | None, object_id: str | None, domain: str | None
) -> dict[str, str | None]:
    domain_id = find_domain(control, domain)["id"] if domain is not None else None
    return {"login": login, "kind": kind, "objectId": object_id, "domainId": domain_id}


def millis(when: datetime) -> int:
    """Return a time of UTC as epoch milliseconds."""
    return round(when.replace(tzinfo=UTC).timestamp() * 1000)


def _row(entry: Any) -> tuple[object, ...]:
    who = f"{entry['login']} for {entry['maker']}" if entry["maker"] else entry["login"]
    what = " ".join(filter(None, (entry["kind"], entry["name"] or entry["objectId"] or entry["mailId"])))
    change = ", ".join(f"{key}: {text}" for key, text in _changes(entry["before"] or {}, entry["after"] or {}))
    return moment(entry["at"]), who, entry["ip"] or "-", entry["act"], what, change[:WIDEST]


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    """What each member was and is; of an object that came or went its name says enough."""
    if not (before and after):
        return []
    return [(key, f"{_text(key, before.get(key))} -> {_text(key, after.get(key))}") for key in {**before, **after}]


def _text(key: str, value: object) -> str:
    if key.endswith(("At", "Date")) and isinstance(value, int):
        return moment(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
