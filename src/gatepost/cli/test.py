"""`gatepost test`: judges the mails of a folder with everything as it is set, and compares with what is expected."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from gatepost.cli.control import Control
from gatepost.cli.eml import Journey, judged
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import show_json, show_table

COMMON = "expect.toml"
HEAD = ("FILE", "RESULT", "VERDICT", "SCORE", "WHAT DIFFERS")


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is expected of a mail, and how it comes in; what is left out is not looked at."""

    to: str | None = msgspec.field(name="as", default=None)
    sender: str | None = None
    client_ip: str | None = None
    helo: str | None = None
    action: str | None = None
    category: str | None = None
    least: float | None = None
    most: float | None = None
    symbols: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def says_nothing(self) -> bool:
        """Tell whether nothing is expected."""
        return (self.action, self.category, self.least, self.most, self.symbols, self.absent) == (None,) * 4 + ((),) * 2


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one mail; `result` is ok, differs, error, or open where nothing was expected."""

    file: str
    result: str
    action: str = ""
    category: str = ""
    score: float | None = None
    symbols: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--as", "to", metavar="ADDRESS", help="The recipient, where no expectation names one.")
@json_option
@with_control
def command(control: Control, folder: Path, to: str | None, as_json: bool) -> int:
    """Judge the mails in a folder and compare the verdicts with what is expected; nothing is kept, learned or answered.

    For each NAME.eml, also in folders below, NAME.toml says what is expected: `action` (deliver, hold, reject, defer),
    `category`, `least` and `most` points, `symbols` that must be found, those that must be `absent`; and how it comes
    in: `as` (the recipient), `sender`, `client_ip`, `helo`. What `expect.toml` says goes for all mails of its folder
    and those below. The exit code is 65 if a verdict differs from what is expected.
    """
    files = sorted(folder.rglob("*.eml"))
    if not files:
        raise Failure(f"{folder}: there is no .eml file", os.EX_NOINPUT)
    expected = [expectation(folder, path) for path in files]  # all are read before the first mail is judged
    outcomes = [_tried(control, folder, path, each, to) for path, each in zip(files, expected, strict=True)]
    if as_json:
        show_json(outcomes)
    else:
        show_table(HEAD, map(_row, outcomes))
    good = all(each.result in ("ok", "open") for each in outcomes)
    return os.EX_OK if good else os.EX_DATAERR


def expectation(folder: Path, path: Path) -> Expectation:
    """Return what is expected of a mail: its own file over those of the folders, the nearest last; raise Failure."""
    said: dict[str, Any] = {}
    found = Expectation()
    for source in _sources(folder, path):
        try:
            said |= tomllib.loads(source.read_text(encoding="utf-8"))
            found = msgspec.convert(said, Expectation)
        except (OSError, ValueError) as error:
            raise Failure(f"{source}: {error}", os.EX_DATAERR) from error
    return found


def _sources(folder: Path, path: Path) -> Iterator[Path]:
    above = reversed(path.parents)
    common = [each / COMMON for each in above if each == folder or folder in each.parents]
    yield from (source for source in (*common, path.with_suffix(".toml")) if source.is_file())


def _tried(control: Control, folder: Path, path: Path, expected: Expectation, to: str | None) -> Outcome:
    name = str(path.relative_to(folder))
    recipient = expected.to or to
    if recipient is None:
        raise Failure(f"{name}: nobody is named whom it is for; give --as or `as`", os.EX_USAGE)
    journey = Journey(recipient=recipient, sender=expected.sender, client_ip=expected.client_ip, helo=expected.helo)
    try:
        events = judged(control, path, journey)
    except Failure as failure:
        if failure.code == os.EX_UNAVAILABLE:
            raise
        return Outcome(file=name, result="error", differs=(failure.format_message(),))
    return compared(name, events, expected)


def compared(name: str, events: list[Any], expected: Expectation) -> Outcome:
    """Hold the verdict in a trace against what is expected; of a group's, every one must be so."""
    verdicts = [event["data"] for event in events if event["event"] == "verdict"]
    findings = [each for event in events for each in event["data"].get("findings", [])]
    symbols = tuple(dict.fromkeys(each["symbol"] for each in findings))
    differs = [text for verdict in verdicts for text in _differences(verdict, expected)]
    differs += [f"{symbol} is not found" for symbol in expected.symbols if symbol not in symbols]
    differs += [f"{symbol} is found" for symbol in expected.absent if symbol in symbols]
    result = "differs" if differs else "open" if expected.says_nothing else "ok"
    return Outcome(
        file=name,
        result=result,
        action=", ".join(dict.fromkeys(verdict["action"] for verdict in verdicts)),
        category=", ".join(dict.fromkeys(verdict["category"] for verdict in verdicts)),
        score=max((verdict["score"] for verdict in verdicts), default=None),
        symbols=symbols,
        differs=tuple(dict.fromkeys(differs)),
    )


def _differences(verdict: Any, expected: Expectation) -> Iterator[str]:
    if expected.action is not None and verdict["action"] != expected.action.lower():
        yield f"action is {verdict['action']}, not {expected.action.lower()}"
    if expected.category is not None and verdict["category"] != expected.category.upper():
        yield f"category is {verdict['category']}, not {expected.category.upper()}"
    if expected.least is not None and verdict["score"] < expected.least:
        yield f"{verdict['score']:g} points are fewer than {expected.least:g}"
    if expected.most is not None and verdict["score"] > expected.most:
        yield f"{verdict['score']:g} points are more than {expected.most:g}"


def _row(outcome: Outcome) -> tuple[object, ...]:
    verdict = f"{outcome.action} {outcome.category}".strip()
    return outcome.file, outcome.result, verdict or None, outcome.score, "; ".join(outcome.differs) or None
