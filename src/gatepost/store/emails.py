"""What became of mail that applications handed in, read off its deliveries; and the end of what is told of it."""

import sqlite3
from collections.abc import Collection, Sequence

from gatepost.store.schema import LIVE
from gatepost.store.wide import Wide

# A release into the sender's own mailbox, of what filters held, is no delivery to whom he wrote to.
_OF = "FROM delivery d WHERE d.mail_id = email.mail_id AND (NOT d.release OR d.recipient = email.recipient)"
# What a server says of a member of a group would name him (rules 9); such a delivery is never proven.
_WORDS = "iif(d.proven OR d.release, d.last_reply, 'a member of the group could not be reached')"
_TELL = Wide(
    f"""
UPDATE email SET
  status = CASE
    WHEN EXISTS (SELECT 1 {_OF} AND d.{LIVE}) THEN 'PROCESSING'
    WHEN EXISTS (SELECT 1 {_OF} AND d.state != 'delivered') THEN 'FAILURE'
    ELSE 'DELIVERED' END,
  message = (SELECT coalesce({_WORDS}, iif(d.state = 'deleted', 'given up by an administrator', NULL))
    {_OF} AND d.state != 'delivered' ORDER BY d.{LIVE}, d.id LIMIT 1),
  date = (SELECT iif(count(d.done_at) = count(*), max(d.done_at), NULL) {_OF}),
  attempts = (SELECT max(d.attempts) {_OF}),
  updated_date = max(updated_date, coalesce((SELECT max(d.done_at) {_OF}), 0))
WHERE mail_id IN ({{rows}}) AND EXISTS (SELECT 1 {_OF})
""",  # noqa: S608 - LIVE is our own text
    1,
)
_EXPIRE = f"""
DELETE FROM email WHERE id IN (
  SELECT id FROM email WHERE expires_at <= ? AND NOT EXISTS (SELECT 1 {_OF} AND d.{LIVE}) ORDER BY expires_at LIMIT ?
)
"""  # noqa: S608


def tell(connection: sqlite3.Connection, mail_ids: Collection[str]) -> None:
    """Write into the records of some mails how their deliveries stand."""
    for sql, values in _TELL.over([(mail_id,) for mail_id in mail_ids]):
        connection.execute(sql, values)


def standing(connection: sqlite3.Connection, mail_ids: str) -> list[tuple[str, str | None, int]]:
    """Return what is told of some mails, which a statement selects, for `restore`."""
    sql = f"SELECT status, message, id FROM email WHERE mail_id IN ({mail_ids})"  # noqa: S608 - of ours
    return connection.execute(sql).fetchall()


def restore(connection: sqlite3.Connection, told: Sequence[tuple[str, str | None, int]]) -> None:
    """Tell again what was told before copies were made that hold nothing anew."""
    connection.executemany("UPDATE email SET status = ?, message = ? WHERE id = ?", told)


def expire(connection: sqlite3.Connection, now: int, limit: int) -> int:
    """Remove at most `limit` records that are past their term and whose mail is done; return how many went."""
    return connection.execute(_EXPIRE, (now, limit)).rowcount
