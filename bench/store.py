"""Durable mails a second by concurrency, commits a mail, and what reading costs beside: `python bench/store.py`."""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from gatepost.events import Metrics, wall_clock
from gatepost.model.envelope import Body
from gatepost.model.query import Query, eq, every
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.settings import StoreSettings
from gatepost.store.bulk import Keep, Settle
from gatepost.store.store import Store

DAY = 86_400_000
TRACE = [TraceEvent(at=0, event=name, text="a sentence for people " * 3, data={"score": 1.5}) for name in "abcdefgh"]


def new_id() -> str:
    return f"{wall_clock():012x}{uuid.uuid4().hex[12:]}"


async def keep(store: Store, data: bytes, copies: int) -> None:
    now, mail_id = wall_clock(), new_id()
    row = Message(
        id=mail_id,
        received=now,
        size=len(data),
        direction="in",
        sender="ann@out.test",
        client_ip="192.0.2.1",
        helo="out.test",
        message_id=f"<{mail_id}@out.test>",
        subject="A subject of common length, as people write it",
        header_from="Ann Example <ann@out.test>",
        header_to="Bob Example <bob@in.test>",
        header_cc="",
        sent=now,
    )
    mailbox = f"user{int(mail_id[-4:], 16)}@in.test"
    kept = [
        Copy(
            mail_id=mail_id,
            mailbox=mailbox,
            domain_id=1,
            user_id=None,
            folder="INBOX",
            category="CLEAN",
            score=0.0,
            infected=False,
            stored_at=now,
            expires_at=now + 5 * DAY,
        )
    ] * copies
    way = Delivery(
        mail_id=mail_id, recipient=mailbox, sender="ann@out.test", due=now, expires=now + 5 * DAY, created=now
    )
    ids = await store.write(Keep(row, Body(len(data), data), kept, [way], TRACE, now + 30 * DAY))
    done = Delivery(
        id=ids.deliveries[0],
        mail_id=mail_id,
        recipient=mailbox,
        sender="ann@out.test",
        due=now,
        expires=now,
        created=now,
        state=State.DELIVERED,
        done_at=now,
        attempts=1,
        remote_id=mail_id[-12:],
        last_reply="250 2.0.0 Ok: queued",
    )
    await store.write(Settle([done]))


async def measure(directory: Path, sessions: int, mails: int, size: int, copies: int) -> tuple[float, float]:
    """Return mails a second and commits a mail; each mail is kept, then settled."""
    metrics = Metrics()
    store = Store.open(directory, clock=wall_clock, metrics=metrics, settings=StoreSettings())
    data = os.urandom(size)
    left = iter(range(mails))

    async def session() -> None:
        for _ in left:
            await keep(store, data, copies)

    start = time.perf_counter()
    await asyncio.gather(*(session() for _ in range(sessions)))
    took = time.perf_counter() - start
    commits = metrics.registry.get_sample_value("gatepost_store_commits_total") or 0.0
    await store.close()
    return mails / took, commits / mails


def appends(directory: Path, size: int) -> float:
    """Return how often a second this disc makes an appended block of a file durable."""
    handle = os.open(directory / "appends", os.O_CREAT | os.O_WRONLY, 0o600)
    data, count = bytes(size), 0
    start = time.perf_counter()
    while time.perf_counter() - start < 1.0:
        os.write(handle, data)
        os.fdatasync(handle)
        count += 1
    os.close(handle)
    return count


async def lists(directory: Path) -> list[tuple[str, float]]:
    """Return milliseconds of a folder's pages and of point look-ups in the store that the runs filled."""
    store = Store.open(directory, clock=wall_clock, metrics=Metrics(), settings=StoreSettings())
    reader = store.reader
    mailbox = reader.find(Copy, Query(limit=1)).items[0].mailbox
    inside = every(eq("mailbox", mailbox), eq("folder", "INBOX"))
    asked = {
        "first page of a folder": lambda: reader.letters(Query(where=inside, sort="-sent", limit=40, total=True)),
        "a message": lambda: reader.messages("<none@out.test>"),
        "a domain": lambda: reader.domain("none.test"),
        "sender rules": lambda: reader.sender_rules({"in.test", mailbox}, {"ann@out.test", "out.test"}, 0),
    }
    found = []
    for name, ask in asked.items():
        times = []
        for _ in range(200):
            start = time.perf_counter()
            ask()
            times.append((time.perf_counter() - start) * 1000)
        found.append((name, statistics.median(times)))
    await store.close()
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mails", type=int, default=3000)
    options.add_argument("--size", type=int, default=4096)
    options.add_argument("--copies", type=int, default=1)
    options.add_argument("--directory", type=Path, default=None, help="where to write (default: a temporary directory)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as name:
        place = Path(name)
        print(f"append + fdatasync of {given.size} octets: {appends(place, given.size):,.0f}/s")
        print("sessions   mails/s   commits/mail   (kept and settled, medians of 3)")
        for sessions in (1, 10, 50):
            count = given.mails if sessions > 1 else given.mails // 4
            runs = [
                asyncio.run(measure(place / f"{sessions}-{run}", sessions, count, given.size, given.copies))
                for run in range(3)
            ]
            rate, commits = (statistics.median(values) for values in zip(*runs, strict=True))
            print(f"{sessions:8} {rate:9,.0f} {commits:14.3f}")
        for text, milliseconds in asyncio.run(lists(place / "50-0")):
            print(f"{text}: {milliseconds:.3f} ms")


if __name__ == "__main__":
    main()
