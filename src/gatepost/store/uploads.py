"""Uploaded and shared files: kept like the bodies of mails, small ones as rows and large ones as spool files."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
from collections.abc import Collection

from gatepost.model.envelope import Body
from gatepost.model.outgoing import Upload
from gatepost.store.mail import Mail
from gatepost.store.schema import table

_UPLOAD = table(Upload)


def keep(connection: sqlite3.Connection, upload: Upload, body: Body) -> None:
    """Add an upload with its octets; a body with a path must have been adopted under the upload's id."""
    connection.execute(_UPLOAD.insert, _UPLOAD.values(upload))
    sql = "INSERT INTO body (mail_id, size, data) VALUES (?, ?, ?)"
    connection.execute(sql, (upload.id, body.size, body.data))


def drop(connection: sqlite3.Connection, mail: Mail, ids: Collection[str]) -> int:
    """Remove uploads and shares with their octets; return how many there were."""
    gone = 0
    for upload_id in ids:
        gone += connection.execute("DELETE FROM upload WHERE id = ?", (upload_id,)).rowcount
        gone += connection.execute("DELETE FROM share WHERE id = ?", (upload_id,)).rowcount
        if connection.execute("DELETE FROM body WHERE mail_id = ? AND data IS NULL", (upload_id,)).rowcount:
            mail.dropped.append(upload_id)
        connection.execute("DELETE FROM body WHERE mail_id = ?", (upload_id,))
    return gone


def expire(connection: sqlite3.Connection, mail: Mail, now: int, limit: int) -> int:
    """Remove at most `limit` files, and as many keys of requests, that are past their day; return how many went."""
    due = " UNION ALL ".join(f"SELECT id FROM {name} WHERE expires_at <= ?" for name in ("upload", "share"))
    rows = connection.execute(f"{due} LIMIT ?", (now, now, limit)).fetchall()
    gone = drop(connection, mail, [row[0] for row in rows])
    old = "SELECT id FROM submission WHERE expires_at <= ? LIMIT ?"
    keys = connection.execute(f"DELETE FROM submission WHERE id IN ({old})", (now, limit)).rowcount
    return max(gone, keys)
