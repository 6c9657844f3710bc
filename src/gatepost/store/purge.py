"""Removes what is past its term, a slice at a time: copies, traces with what hung on them, domains, the audit."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import json
import sqlite3

import msgspec

from gatepost.model.stored import State
from gatepost.model.tenant import DomainStatus
from gatepost.store import emails, uploads
from gatepost.store.mail import Mail
from gatepost.store.schema import LIVE

DAY = 86_400_000
HOUR = 3_600_000
REFUSALS = 7 * 24  # hours that counted refusals are kept
TLS_RESULTS = 7  # days that results of TLS are kept where nobody reports them any more

# What a domain owns, in the order in which it goes; users last, since their going takes tokens along.
_OWNED = (
    "sender_rule",
    "attachment_rule",
    "uri_rule",
    "domain_alias",
    "group",
    "email",
    "webhook",
    "suppression",
    "user",
    "platform",
    "policy",
)


class Purged(msgspec.Struct, frozen=True):
    """What a slice removed; `more` tells that there is work for another."""

    copies: int
    folders: dict[str, int]  # the copies by folder
    bodies: int
    traces: int
    domains: int
    spared: int  # copies past their term that releases need, of this slice and those before it
    more: bool


def purge(connection: sqlite3.Connection, mail: Mail, now: int, limit: int, spared: int = 0) -> Purged:
    """Remove one slice. Each sort has its own limit, so that none waits for another. The time is remembered.

    `spared`: what the slice before it said, by which each copy is looked at once in a pass.
    """
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('purged', ?)", (now,))
    folders, bodies, waiting = _expired_copies(connection, mail, now, limit, spared)
    copies = sum(folders.values())
    traces, dropped = _expired_traces(connection, mail, now, limit)
    sliced, domains = _gone_domains(connection, mail, now, limit)
    connection.execute("DELETE FROM refusal WHERE hour < ?", (now // HOUR - REFUSALS,))
    # What was counted of days to come was counted by a clock that was ahead: of those days nothing would be true.
    connection.execute("DELETE FROM tls_result WHERE day < ? OR day > ?", (now // DAY - TLS_RESULTS, now // DAY + 1))
    connection.execute("DELETE FROM tls_report WHERE day < ?", (now // DAY - TLS_RESULTS,))
    expired = uploads.expire(connection, mail, now, limit) + emails.expire(connection, now, limit)
    expired += _expired_suppressions(connection, now, limit) + _departed_rules(connection, limit)
    more = copies + waiting >= limit or traces >= limit or expired >= limit or sliced
    return Purged(copies, folders, bodies + dropped, traces, domains, spared + waiting, more)


def forget_audit(connection: sqlite3.Connection, before: int, limit: int) -> int:
    """Remove the oldest entries of the audit from before a moment; it may be deleted from up to there alone."""
    due = connection.execute("SELECT id FROM audit WHERE at < ? ORDER BY at LIMIT ?", (before, limit)).fetchall()
    if due:
        connection.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'audited'", (before,))
        connection.executemany("DELETE FROM audit WHERE id = ?", due)
    return len(due)


def forget_refused(connection: sqlite3.Connection, mail: Mail, limit: int = 20) -> None:
    """Remove the oldest traces of refused mail."""
    _delete_traces(
        connection,
        mail,
        connection.execute("SELECT id, mail_id FROM trace WHERE refused = 1 ORDER BY id LIMIT ?", (limit,)).fetchall(),
    )


def _expired_copies(
    connection: sqlite3.Connection, mail: Mail, now: int, limit: int, spared: int
) -> tuple[dict[str, int], int, int]:
    due = connection.execute(
        "SELECT id, mail_id FROM copy WHERE expires_at <= ? ORDER BY expires_at LIMIT ? OFFSET ?", (now, limit, spared)
    ).fetchall()
    # What was released is needed until a server has it.
    release = f"SELECT 1 FROM delivery WHERE mail_id = ? AND release AND {LIVE} LIMIT 1"
    gone = [id for id, mail_id in due if not connection.execute(release, (mail_id,)).fetchone()]
    folders, bodies = _delete_copies(connection, mail, "SELECT value FROM json_each(?)", (json.dumps(gone),))
    return folders, bodies, len(due) - len(gone)


def _expired_suppressions(connection: sqlite3.Connection, now: int, limit: int) -> int:
    due = "SELECT id FROM suppression WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
    return connection.execute(f"DELETE FROM suppression WHERE id IN ({due})", (now, limit)).rowcount


def _departed_rules(connection: sqlite3.Connection, limit: int) -> int:
    """Remove sender rules of accounts that are gone; return how many of either are done with."""
    some = "SELECT user_id FROM departed ORDER BY user_id LIMIT ?"
    chosen = f"SELECT id FROM sender_rule WHERE user_id IN ({some}) LIMIT ?"
    rules = connection.execute(f"DELETE FROM sender_rule WHERE id IN ({chosen})", (limit, limit)).rowcount
    if rules == limit:  # they may have more
        return rules
    return max(rules, connection.execute(f"DELETE FROM departed WHERE user_id IN ({some})", (limit,)).rowcount)


def _delete_copies(
    connection: sqlite3.Connection, mail: Mail, chosen: str, values: tuple[object, ...]
) -> tuple[dict[str, int], int]:
    gone = connection.execute(f"DELETE FROM copy WHERE id IN ({chosen}) RETURNING folder, mail_id", values).fetchall()
    counts: dict[str, int] = {}
    for folder, _ in gone:
        counts[folder] = counts.get(folder, 0) + 1
    return counts, mail.release({mail_id for _, mail_id in gone})


def _expired_traces(connection: sqlite3.Connection, mail: Mail, now: int, limit: int) -> tuple[int, int]:
    due = connection.execute(
        "SELECT id, mail_id FROM trace WHERE until <= ? ORDER BY until LIMIT ?", (now, limit)
    ).fetchall()
    live = f"SELECT 1 FROM delivery WHERE mail_id = ? AND {LIVE} LIMIT 1"
    waiting = {mail_id for _, mail_id in due if connection.execute(live, (mail_id,)).fetchone()}
    # The story of a mail under way is kept until it ends.
    kept = [(now + DAY, id) for id, mail_id in due if mail_id in waiting]
    connection.executemany("UPDATE trace SET until = ? WHERE id = ?", kept)
    dropped = _delete_traces(connection, mail, [row for row in due if row[1] not in waiting])
    return len(due), dropped


def _delete_traces(connection: sqlite3.Connection, mail: Mail, rows: list[tuple[int, str]]) -> int:
    connection.executemany("DELETE FROM trace WHERE id = ?", [(id,) for id, _ in rows])
    return mail.untold({mail_id for _, mail_id in rows})


def _gone_domains(connection: sqlite3.Connection, mail: Mail, now: int, limit: int) -> tuple[bool, int]:
    """Erase at most `limit` rows of the domain whose day has come; tell whether rows are left, and domains erased."""
    sql = "SELECT id FROM domain WHERE purge_date <= ? AND status = ? ORDER BY purge_date LIMIT 1"
    due = connection.execute(sql, (now, DomainStatus.DELETED)).fetchone()
    if due is None:
        return False, 0
    (domain_id,) = due
    if _slice_mail(connection, mail, domain_id, now, limit) or _slice_rows(connection, domain_id, limit):
        return True, 0
    connection.execute("DELETE FROM domain WHERE id = ?", (domain_id,))
    return True, 1


def _slice_mail(connection: sqlite3.Connection, mail: Mail, domain_id: int, now: int, limit: int) -> bool:
    folder = connection.execute(
        "SELECT mailbox, folder FROM folder WHERE domain_id = ? LIMIT 1", (domain_id,)
    ).fetchone()
    if folder:
        chosen = "SELECT id FROM copy WHERE mailbox = ? AND folder = ? LIMIT ?"
        _delete_copies(connection, mail, chosen, (*folder, limit))
        return True
    sql = (
        f"UPDATE delivery SET state = ?, done_at = ? WHERE id IN (SELECT id FROM delivery WHERE {LIVE}"
        " AND domain_id = ? LIMIT ?) RETURNING mail_id"
    )
    ended = connection.execute(sql, (State.DELETED, now, domain_id, limit)).fetchall()
    mail.release({row[0] for row in ended})
    return bool(ended)


def _slice_rows(connection: sqlite3.Connection, domain_id: int, limit: int) -> bool:
    for name in _OWNED:
        chosen = f'SELECT id FROM "{name}" WHERE domain_id = ? LIMIT ?'
        gone = connection.execute(f'DELETE FROM "{name}" WHERE id IN ({chosen})', (domain_id, limit))
        if gone.rowcount:
            return True
    return False
