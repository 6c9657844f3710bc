"""The rows that filters' memory is kept in: counts by key, a room for each filter."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence

from gatepost.model.memory import Room, Row
from gatepost.store.wide import Wide

RECALL = "SELECT key, first, second, since, at FROM memory WHERE room = ? AND key > ? ORDER BY key LIMIT ?"

# What one mail taught: tokens, added to what stands there already.
_LEARN = Wide(
    "INSERT INTO memory VALUES {rows} ON CONFLICT DO UPDATE SET first = max(0, first + excluded.first),"
    " second = max(0, second + excluded.second), at = max(at, excluded.at)",
    6,
)
_REMEMBER = Wide("INSERT OR REPLACE INTO memory VALUES {rows}", 6)


def remember(connection: sqlite3.Connection, room: Room, rows: Sequence[Row]) -> None:
    """Write rows as they stand."""
    for sql, values in _REMEMBER.over([(room, row.key, row.first, row.second, row.since, row.at) for row in rows]):
        connection.execute(sql, values)


def learn(
    connection: sqlite3.Connection, lesson: int, keys: Sequence[int], scope: int, *, spam: bool, now: int
) -> tuple[int, int]:
    """Learn a mail's tokens as spam or as ham; return what that added to the counts of each: (0, 0) for nothing.

    A lesson counts once; one that was learnt the other way is moved.
    """
    sql = "SELECT first FROM memory WHERE room = ? AND key = ?"
    before = connection.execute(sql, (Room.LESSONS, lesson)).fetchone()
    remember(connection, Room.LESSONS, [Row(lesson, int(spam), int(not spam), now, now)])
    if before is not None and bool(before[0]) is spam:
        return 0, 0
    more = (1, 0) if spam else (0, 1)
    if before is not None:
        more = (1, -1) if spam else (-1, 1)
    rows = [(Room.TOTALS, scope, *more, now, now), *((Room.TOKENS, key, *more, now, now) for key in keys)]
    for sql, values in _LEARN.over(rows):
        connection.execute(sql, values)
    return more


def use(connection: sqlite3.Connection, room: Room, used: Mapping[int, int]) -> None:
    """Note when rows were last of use."""
    sql = "UPDATE memory SET at = ? WHERE room = ? AND key = ? AND at < ?"
    connection.executemany(sql, [(at, room, key, at) for key, at in used.items()])


def forget(connection: sqlite3.Connection, room: Room, keys: Collection[int], before: int) -> None:
    """Remove rows of a room, unless they were of use again since."""
    sql = "DELETE FROM memory WHERE room = ? AND key = ? AND at < ?"
    connection.executemany(sql, [(room, key, before) for key in keys])
