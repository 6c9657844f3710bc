"""Statements over many rows: one call into SQLite for all; a text for each number, so that it stays prepared."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

MOST = 24  # rows of one statement


class Wide:
    """A statement with `{rows}` where the rows stand, each of so many columns.

    A call costs more than what SQLite does in it, as each gives the interpreter's lock away and has to win it back.
    `one` is the statement for a row that comes alone, where it can be had without the table that SQLite makes of many.
    """

    def __init__(self, sql: str, columns: int, *, one: str = "") -> None:
        self.columns = columns
        row = f"({', '.join('?' * columns)})"
        self._texts = [sql.replace("{rows}", ", ".join([row] * size)) for size in range(MOST + 1)]
        self._texts[1] = one or self._texts[1]

    def over(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield statements that together are over all rows, in order, with what each binds."""
        for at in range(0, len(rows), MOST):
            some = rows[at : at + MOST]
            yield self._texts[len(some)], [*chain.from_iterable(some)]
