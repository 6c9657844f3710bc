"""Which media type an answer takes, by the request's Accept (RFC 9110 12.5.1)."""

import re
from collections.abc import Iterable, Sequence

from gatepost.model.problem import Kind, Problem

_RANGE = re.compile(r"([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\Z", re.ASCII)
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z", re.ASCII)


def choose(accept: Iterable[str], offered: Sequence[str]) -> str:
    """Return the offered type that the Accept fields like best, of equal ones the first; raise NOT_ACCEPTABLE.

    What is no media range is passed over; parameters other than `q` are ignored.
    """
    text = ",".join(accept)
    if not text.strip():
        return offered[0]
    ranges = dict(filter(None, map(_read, text.split(","))))
    liked = {each: _quality(each, ranges) for each in offered}
    best = max(offered, key=lambda each: liked[each])
    if not liked[best]:
        raise Problem(Kind.NOT_ACCEPTABLE, f"This is offered as {', '.join(offered)}.")
    return best


def _read(text: str) -> tuple[str, float] | None:
    """Read one media range and its weight."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    if not _RANGE.match(name):
        return None
    weights = [part[2:] for part in parameters if part.startswith("q=")]
    if not weights:
        return name, 1.0
    return (name, float(weights[0])) if _QUALITY.match(weights[0]) else None


def _quality(media: str, ranges: dict[str, float]) -> float:
    """Return the weight of the most exact range that a type falls in; 0 for none."""
    exact = (media, media.split("/")[0] + "/*", "*/*")
    return next((ranges[each] for each in exact if each in ranges), 0.0)
