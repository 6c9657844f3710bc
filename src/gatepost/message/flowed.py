"""Paragraphs of plain text on lines of mail (RFC 3676, format=flowed): broken where they are long, and joined again."""

import re
from collections.abc import Iterator

LINE = 78  # characters, the blank at the end of a line that goes on included
LONGEST = 998  # of a line that has no blanks (RFC 5322 2.1.1)
_QUOTED = re.compile(r">*")
SIGNATURE = "-- "
"""The line above a signature (RFC 3676 4.3); its blank is part of it."""


def flow(text: str) -> str | None:
    """Return a text (LF) with its long lines broken at blanks; None where that gains nothing, or would change it."""
    lines = text.split("\n")
    if max(map(len, lines)) <= LINE or any(_is_unfit(line) for line in lines):
        return None
    broken = [(line, list(_broken(line))) for line in lines]
    if any(SIGNATURE in pieces for line, pieces in broken if line != SIGNATURE):
        return None
    pieces = [piece for _, pieces in broken for piece in pieces]
    return "\n".join(pieces) if max(map(len, pieces)) <= LONGEST else None


def _is_unfit(line: str) -> bool:
    """A blank at the end would join a line to the next; what is quoted has its breaks already."""
    return (line.endswith(" ") and line != SIGNATURE) or (line.startswith(">") and len(line) > LINE)


def _broken(line: str) -> Iterator[str]:
    """Yield the lines that a paragraph is sent as; each but the last ends with the blank at which it is broken."""
    first = True
    while len(line) > LINE:
        at = line.rfind(" ", 1, LINE - 1)
        at = line.find(" ", LINE - 1) if at < 0 else at
        if at < 0:
            break
        yield _stuffed(line[: at + 1], first)
        line, first = line[at + 1 :], False
    yield _stuffed(line, first)


def _stuffed(line: str, first: bool) -> str:
    """Put a blank before what would be read as a stuffed line, a quote, or the start of a mail in an mbox file."""
    return f" {line}" if line.startswith((" ", "From ")) or (line.startswith(">") and not first) else line


def join(text: str, *, delete: bool = False) -> str:
    """Return a flowed text (LF) with its paragraphs on one line each; `delete`: the blanks at breaks go (DelSp)."""
    out: list[str] = []
    depth = -1  # of the paragraph that goes on; -1 while none does
    for line in text.split("\n"):
        quotes = _QUOTED.match(line)
        marks = quotes[0] if quotes else ""
        said = line[len(marks) :].removeprefix(" ")
        goes_on = said.endswith(" ") and said != SIGNATURE
        if depth == len(marks) and said != SIGNATURE:
            out[-1] += said
        else:
            out.append(line if marks and not goes_on else f"{marks} {said}" if marks else said)
        if goes_on and delete:
            out[-1] = out[-1][:-1]
        depth = len(marks) if goes_on else -1
    return "\n".join(out)
