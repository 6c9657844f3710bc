"""What commands print: tables for people, JSON for programs, and nothing that could drive a terminal."""

import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from gatepost.cli.failure import Failure

GAP = "  "  # between columns, and before what goes on in a further line
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


def counted(items: Sequence[Any]) -> Iterator[Any]:
    """Yield items, and show on a terminal how many are done, in a line that gives way to whatever is said next."""
    shown = ""
    for number, item in enumerate(items):
        if sys.stderr.isatty():
            shown = f"{number} of {len(items)}"
            click.echo(f"{shown}\r", err=True, nl=False)
        yield item
    if shown:
        click.echo(f"{' ' * len(shown)}\r", err=True, nl=False)


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


def room() -> int | None:
    """Return how many characters stand in a line of the terminal; None where the output goes elsewhere."""
    return (os.get_terminal_size(sys.stdout.fileno()).columns or None) if sys.stdout.isatty() else None


def columns(head: Sequence[str], rows: Iterable[Sequence[object]], width: int | None = None) -> Iterator[str]:
    """Yield the text of each row under a head, each column as wide as its widest text.

    What is wider than `width` goes on in further lines, columns under columns: nothing is cut off.
    """
    table = [list(head), *([clean("-" if cell is None else cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = _broken(widths, width or sys.maxsize)
    for row in table:
        told = (_line([(row[at], widths[at]) for at in line], GAP * bool(n), width) for n, line in enumerate(lines))
        yield "\n".join(filter(None, told))


def _broken(widths: Sequence[int], width: int) -> list[list[int]]:
    """Return which columns stand in each line: as many as have room there, one at least.

    The last one, which tells why, may be wrapped in half of a line.
    """
    lines: list[list[int]] = [[]]
    used = 0
    for at, wide in enumerate(widths):
        least = min(wide, width // 2) if at == len(widths) - 1 else wide
        if lines[-1] and used + least > width:
            lines.append([])
            used = len(GAP)
        lines[-1].append(at)
        used += wide + len(GAP)
    return lines


def _line(cells: Sequence[tuple[str, int]], indent: str, width: int | None) -> str:
    """Return cells side by side, "" for empty ones; if the last is too wide, it is wrapped."""
    before = indent + "".join(cell.ljust(wide) + GAP for cell, wide in cells[:-1])
    last = cells[-1][0]
    text = (before + last).rstrip()
    if width is None or len(text) <= width:
        return text
    deeper = " " * (len(before) + len(last) - len(last.lstrip())) + GAP
    return textwrap.fill(text, width, subsequent_indent=deeper, break_long_words=False, break_on_hyphens=False)


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    first, *others = columns(head, rows, room())
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
