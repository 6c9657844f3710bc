"""`gatepost learn`: teaches the classifier of the running daemon, mail by mail."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.eml import read_mails
from gatepost.cli.failure import Failure
from gatepost.cli.options import with_control

KINDS = ("spam", "ham")
AT_ONCE = 8  # mails that are learnt side by side, so that they share a commit


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("paths", metavar="[FILE|DIR|MBOX...]", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--domain", help="Learn for this served domain alone; without it for all.")
@with_control
def command(control: Control, kind: str, paths: Sequence[Path], domain: str | None) -> None:
    """Teach the classifier which mails are spam and which are ham (clean).

    A file is one mail or an mbox; of a directory, all files below it. A mail counts once; one that was learnt the other
    way is moved. Without files it tells how many mails were learnt so far.
    """
    scope = {"domain": domain} if domain else {}
    if paths:
        _learn(control, {"kind": kind, **scope}, paths)
    count = control.ask("GET", "/lessons", **scope)
    whose = f" for {domain}" if domain else ""
    click.echo(f"in all {count['spam']} spam and {count['clean']} clean mails{whose}")


def _learn(control: Control, query: dict[str, str], paths: Sequence[Path]) -> None:
    """Give all mails to the daemon and tell what came of them."""
    lessons = Lessons(control, query)
    files = list(_files(paths))
    with (
        click.progressbar(files, label=f"Learning {query['kind']}", file=sys.stderr) as progress,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        mails = ((file, raw) for file in progress for raw in read_mails(file))
        while some := list(islice(mails, AT_ONCE)):
            for (file, _), learnt in zip(some, pool.map(lessons.give, some), strict=True):
                lessons.note(file, learnt)
    click.echo(f"learnt {lessons.news}, known before {lessons.known}, refused {lessons.refused}")


class Lessons:
    """Gives mails to the daemon and counts what comes of it."""

    def __init__(self, control: Control, query: dict[str, str]) -> None:
        self._control = control
        self._query = query
        self.news = self.known = self.refused = 0

    def give(self, mail: tuple[Path, bytes]) -> Any:
        """Have a mail learnt; return the answer, or the Failure of one that the daemon can't read."""
        try:
            return self._control.send("POST", "/lessons", mail[1], "message/rfc822", **self._query)
        except Failure as failure:
            if failure.code != os.EX_DATAERR:
                raise
            return failure

    def note(self, file: Path, learnt: Any) -> None:
        """Count what came of a mail."""
        if isinstance(learnt, Failure):
            self.refused += 1
            click.echo(f"{file}: {learnt}", err=True)
            return
        self.news += learnt["news"]
        self.known += not learnt["news"]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*")) if file.is_file())
        else:
            yield path
