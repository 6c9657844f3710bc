"""The numbers of new rows, reserved in blocks, where none may ever come again."""

import sqlite3

BLOCK = 1000

_RESERVE = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ? RETURNING seq"
_BEGIN = "INSERT INTO sqlite_sequence (seq, name) VALUES (?, ?) RETURNING seq"


class Numbers:
    """Ids for a table with AUTOINCREMENT, whose highest one SQLite would write with each row: a page of each commit.

    What is left of a block when the store is closed is passed over.
    """

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        self._reserved = range(0)

    def take(self, count: int) -> range:
        """Return so many ids that no row has had, ascending and without a gap, within the open transaction."""
        if count > len(self._reserved):
            self._reserve(max(count, BLOCK))
        taken, self._reserved = self._reserved[:count], self._reserved[count:]
        return taken

    def forget(self) -> None:
        """Leave the block: a transaction was taken back, and its reservation may be, too."""
        self._reserved = range(0)

    def _reserve(self, count: int) -> None:
        values = (count, self._table)
        found = self._connection.execute(_RESERVE, values).fetchall() or self._connection.execute(_BEGIN, values)
        (highest,) = next(iter(found))
        self._reserved = range(highest - count + 1, highest + 1)
