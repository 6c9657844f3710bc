"""Finds a few literal octets in much content.

RE2 looks at 32 places at once for the first and the last octet of a literal, where `bytes.find` goes from place to
place: 0.03 ms for 1 MB, beside 0.2 to 0.5.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, cast

import re2  # type: ignore[import-untyped]


class Match(Protocol):
    """Where the octets stand."""

    start: Callable[[], int]
    end: Callable[[], int]


class Octets(Protocol):
    """Octets that are looked for; offsets are those of the content."""

    def search(self, content: bytes, start: int | None = None, end: int | None = None, /) -> Match | None: ...
    def finditer(self, content: bytes, start: int | None = None, end: int | None = None, /) -> Iterator[Match]: ...


def octets(expression: bytes) -> Octets:
    """Return what finds an expression, best a literal, in octets of any kind."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    return cast(Octets, re2.compile(expression, options))
