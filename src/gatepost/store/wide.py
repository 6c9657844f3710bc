"""Statements over many rows: one call into SQLite for all of them; few different ones, so that each stays prepared."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

MOST = 32  # rows of one statement


class Wide:
    """A statement with `{rows}` where the rows stand, each of so many columns.

    A call costs more than what SQLite does in it, as each gives the interpreter's lock away and has to win it back.
    `one` is the statement for a row that comes alone, where it can be had without the table that SQLite makes of many.
    """

    def __init__(self, sql: str, columns: int, *, one: str = "") -> None:
        self.columns = columns
        row = f"({', '.join('?' * columns)})"
        self._texts = {size: sql.replace("{rows}", ", ".join([row] * size)) for size in _sizes(MOST)}
        self._texts[1] = one or self._texts[1]

    def over(self, rows: Sequence[Sequence[Any]]) -> Iterable[tuple[str, Sequence[Any]]]:
        """Return statements that together are over all rows, in order, with what each binds."""
        return ((self._texts[1], rows[0]),) if len(rows) == 1 else self._many(rows)

    def _many(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
        at = 0
        while at < len(rows):
            size = min(MOST, 1 << (len(rows) - at).bit_length() - 1)  # the largest power of two that is left
            yield self._texts[size], list(chain.from_iterable(rows[at : at + size]))
            at += size


def _sizes(most: int) -> list[int]:
    return [1 << power for power in range(most.bit_length())]
