"""What commands print: tables for people, JSON for programs, and nothing that could drive a terminal."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from gatepost.cli.failure import Failure

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def clean(text: object) -> str:
    """Return the text with control and direction characters spelled out: a mail's text is a stranger's."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", str(text))


def moment(milliseconds: object) -> str:
    """Return epoch milliseconds as UTC for people; "-" for none."""
    if not isinstance(milliseconds, int):
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def one(items: Iterable[Any], otherwise: str) -> Any:
    """Return the only item of a look-up by name; raise Failure with the text when there is none."""
    for item in items:
        return item
    raise Failure(otherwise, os.EX_NOINPUT)


def one_by_one(ids: Iterable[str], act: Callable[[str], object], done: str) -> None:
    """Do one thing to each of what has an id, and say so; the first refusal ends it, and names its id."""
    for given in ids:
        try:
            act(given)
        except Failure as failure:
            raise Failure(f"{clean(given)}: {failure}", failure.code) from failure
        click.echo(f"{given}: {done}")


def make_sure(question: str) -> None:
    """Go on only when somebody says yes; raise Failure where nobody is there to be asked."""
    try:
        sure = click.confirm(question)
    except click.Abort as end:
        if sys.stdin.isatty():
            raise
        raise Failure("nobody is there to be asked; --yes goes on unasked", os.EX_USAGE) from end
    if not sure:
        raise click.Abort


def masked(key: str, value: object) -> object:
    """Return a setting's value as it may be shown: a password only as set or not."""
    return "********" if key.rpartition(".")[2] == "password" and value else value


def show_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    """Lay rows out under a head, each column as wide as its widest text."""
    table = [list(head), *([clean("-" if cell is None else cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    first, *others = columns(head, rows)
    click.secho(first, bold=True)
    for line in others:
        click.echo(line)


def show_list(items: Iterable[Any], as_json: bool, head: Sequence[str], row: Callable[[Any], Sequence[object]]) -> None:
    """Print what a command lists: as it came, or each as a row."""
    if as_json:
        show_json(list(items))
    else:
        show_table(head, map(row, items))


def show_item(item: Any, as_json: bool, head: Sequence[str], row: Callable[[Any], Sequence[object]]) -> None:
    """Print the one thing that a command shows or made: as it came, or as a row."""
    if as_json:
        show_json(item)
    else:
        show_table(head, [row(item)])
