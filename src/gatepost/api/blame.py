"""Which member of a request is at fault: msgspec's words made into a Problem with a JSON pointer (RFC 6901)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from gatepost.model.choices import choices
from gatepost.model.problem import Kind, Problem

_AT = re.compile(r"(?P<text>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?\Z", re.DOTALL)
_SEEN = r"\s"  # stands in the patterns of texts that may not be blank
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def blame(error: msgspec.ValidationError, kind: Any) -> Problem:
    """Say what is wrong with which member of what should have been of that kind."""
    match = _AT.match(str(error))
    assert match
    steps = [name or index for name, index in _STEP.findall(match["path"] or "")]
    if missing := re.search(r"missing required field `(.+)`", match["text"]):
        return Problem(Kind.MALFORMED, "A required member is missing.", pointer=pointer(*steps, missing[1]))
    text = _misfit(match["text"]) if "matching regex" in match["text"] else match["text"]
    known = choices(kind, match["path"] or "") if "enum value" in text else ""
    return Problem(Kind.MALFORMED, f"{text}{known}.", pointer=pointer(*steps))


def _misfit(text: str) -> str:
    """Say what a text lacks that does not match its pattern."""
    return f"The text {'is blank or ' if _SEEN in text else ''}has characters that are not allowed here"


@contextmanager
def called(**names: str) -> Iterator[None]:
    """Let a Problem that points at one of our members point at what this API calls it: `text="body"`."""
    try:
        yield
    except Problem as problem:
        member = (problem.pointer or "").removeprefix("/")
        if member not in names:
            raise
        detail = re.sub(rf"^{member}\b", names[member], problem.detail)
        raise Problem(problem.kind, detail, pointer=f"/{names[member]}", **problem.context) from problem


def pointer(*steps: str) -> str:
    """Return the JSON pointer of a member by the names on its way."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
