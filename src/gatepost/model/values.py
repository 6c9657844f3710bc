"""Values that have a form of their own at the edges: row numbers, points in time, words in any case."""

from enum import StrEnum
from typing import Self


class Id(int):
    """The number of a row. Outside it is an opaque text; what is no such text reads as UNKNOWN."""


class Given(str):
    """A text in a path that names nothing of ours: what can't be read of it is malformed, not missing."""


UNKNOWN = Id(0)  # no row has this number, so a look-up says "not found" in its own words
CLEARED = Id(-1)  # an empty text was given: the reference is to be taken away


class Millis(int):
    """A point in time, epoch milliseconds; requests may also write it as RFC 3339 text (contract A2)."""


class AnyCase(StrEnum):
    """Words that are read in any case, with `-` for `_` (contract A6-A8), and said in one spelling."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        spelling = value.upper().replace("-", "_")
        return next((word for word in cls if word.value == spelling), None)
