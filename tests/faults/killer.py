"""Runs the small process, kills it, starts it again, and compares what it said with what is there."""

import asyncio
import contextlib
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.faults import mails, small
from tests.faults.traced import attach, forks
from tests.house import StillClock, World, open_store
from tests.house import settings as make_settings
from tests.pace import PATIENCE
from tests.peers.sink import Mail, Sink

from gatepost.events import wall_clock
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Delivery, Message, State
from gatepost.settings import Settings
from gatepost.store.check import Flaw, verify
from gatepost.store.store import Store

CALLS = ("pwrite64", "write", "fdatasync", "fsync", "rename", "unlink", "ftruncate")
NUMBERS = 24  # that a script uses at most


def script(first: int = 0) -> Sequence[small.Line]:
    """Accept, deliver, release and purge, side by side as they are in life; numbers say what sort of mail each is.

    `first`, a multiple of 12, makes the numbers of another run's mails differ.
    """

    def accept(*numbers: int) -> list[str]:
        return [f"accept {first + number}" for number in numbers]

    def release(number: int) -> str:
        return f"release {first + number}"

    return (
        accept(1, 2, 3, 4),
        [*accept(5, 6, 8, 12), release(4)],
        ["wait"],
        [*accept(7, 9), release(8), "purge"],
        [*accept(10, 11, 16), release(12)],
        ["wait"],
        ["purge", *accept(13, 15), release(16)],
        ["wait"],
    )


DRAIN: Sequence[small.Line] = (("drain",),)


class Story:
    """What a process said of each mail; the stories of several runs on one store can be joined."""

    def __init__(self) -> None:
        self.begun: dict[str, set[int]] = defaultdict(set)
        self.done: dict[str, dict[int, object]] = defaultdict(dict)
        self.failed: dict[str, dict[int, str]] = defaultdict(dict)
        self.faults: list[str] = []
        self.started = 0.0  # seconds of a processor from nothing to open
        self.closed = False

    def hear(self, said: Sequence[object]) -> None:
        match said:
            case ("open", list(faults), float(seconds)):
                self.faults, self.started, self.closed = faults, seconds, False
            case ("closed",):
                self.closed = True
            case ("begin", str(verb), str(number)):
                self.begun[verb].add(int(number or 0))
            case ("done", str(verb), str(number), what):
                self.done[verb][int(number or 0)] = what
            case ("failed", str(verb), str(number), str(kind)):
                self.failed[verb][int(number or 0)] = kind
            case _:
                raise AssertionError(f"it said {said!r}")


class House:
    """A store in a folder of its own, the sink that gets its mail, and the process that works on both."""

    def __init__(self, directory: Path, sink: Sink) -> None:
        self.directory = directory
        self.sink = sink
        self.story = Story()
        self.kills = 0
        self.settings = settings(directory, sink.port)

    async def walk(
        self,
        script: Sequence[small.Line],
        *,
        inject: str = "",
        after: float | None = None,
        at: Callable[[], bool] | None = None,
        cut: Callable[[], None] | None = None,
    ) -> int:
        """Run a script to its end, or to the fault; return the exit code (-9: killed).

        `after` so many seconds the process is killed, or as soon as `at` holds. `cut` is called before: what is said
        from then on doesn't count.
        """
        code = await asyncio.to_thread(self._walk, script, inject, after, at, cut)
        self.kills += code == -9
        return code

    def _walk(
        self,
        script: Sequence[small.Line],
        inject: str,
        after: float | None,
        at: Callable[[], bool] | None,
        cut: Callable[[], None] | None,
    ) -> int:
        mine, its = forks().Pipe()
        process = forks().Process(target=small.run, args=(its, self.settings, script), daemon=True)
        process.start()
        its.close()
        tracer = attach(process.pid or 0, inject) if inject else None
        mine.send("go")
        if after is not None:
            process.join(after)  # a moment of its life; it says nothing that we could wait for
            if cut is not None:
                self._listen(mine, forever=False)
                cut()
            process.kill()
        if at is not None:
            while process.is_alive() and not at():
                pass
            process.kill()
        self._listen(mine, sure=cut is None)
        return _end(process, tracer)

    def _listen(self, tell: Connection, *, sure: bool = True, forever: bool = True) -> None:
        """Hear what the process says, to its end or as much as it has said so far."""
        with contextlib.suppress(EOFError, ConnectionError):
            while forever or tell.poll():
                said = tell.recv()
                if sure or said[0] != "done":
                    self.story.hear(said)

    async def compare(self) -> int:
        """Restart, deliver all that waits, and hold what is there against what was said; return the repetitions."""
        assert [flaw for flaw in self.flaws() if flaw.grave] == [], "the crash left a fault"
        self.story.done.pop("drain", None)
        assert await self.walk(DRAIN) == 0
        assert self.story.faults == []
        assert self.story.done["drain"] == {0: 0}, "mail is left in the queue"
        assert self.flaws() == []
        store = open_store(self.directory, StillClock(wall_clock()), spool_cut=mails.CUT)
        try:
            got = delivered(self.sink.mails)
            for number in self.story.begun["accept"]:
                _compare(store, self.story, number, got)
        finally:
            await store.close()
        assert {number for number, _ in got} <= self.story.begun["accept"]
        assert max(got.values(), default=0) <= 1 + self.kills, "a mail came more than once more for a kill"
        return sum(count - 1 for count in got.values())

    def flaws(self) -> list[Flaw]:
        return verify(self.directory, self.settings.store)


def settings(directory: Path, port: int) -> Settings:
    return make_settings(
        directory,
        store={"directory": str(directory), "spool_cut": mails.CUT, "reserve_bytes": 0, "reserve_percent": 0.0},
        smtp={"hostname": "gate.example", "verify_recipients": False, "listener": []},
        http={"listen": []},
        dns={"servers": ["127.0.0.1:9"], "timeout": 0.1},
        relay={"smarthost": f"127.0.0.1:{port}", "allow_private_destinations": True},
    )


async def furnish(directory: Path, port: int, **policy: object) -> None:
    """Make a store with the domains and accounts that the mails are for; `policy` is bob's and ann's."""
    store = open_store(directory, StillClock(wall_clock()), spool_cut=mails.CUT)
    world = World(store, StillClock(wall_clock()))
    await world.domain("served.example", hop=("127.0.0.1", port), policy=policy)
    bare = {"quarantine": False, "retention": False, "archive": False}
    await world.domain("bare.example", hop=("127.0.0.1", port), policy=bare)
    for email in (mails.BOB, mails.ANN, mails.BARE):
        await world.user(email)
    await store.close()


def delivered(arrived: Sequence[Mail]) -> Counter[tuple[int, str]]:
    """Count what came for whom; every mail must have come as it was sent."""
    counts: Counter[tuple[int, str]] = Counter()
    for mail in arrived:
        number = int(mail.data.partition(b"Message-ID: <")[2].partition(b"@")[0])
        assert mail.data.endswith(mails.raw(number)), f"mail {number} came with other octets"
        counts.update((number, recipient) for recipient in mail.recipients)
    return counts


def _compare(store: Store, story: Story, number: int, got: Counter[tuple[int, str]]) -> None:
    reader = store.reader
    rows = reader.find(Message, Query(where=eq("message_id", mails.name(number)))).items
    here = {recipient: got[number, recipient] for recipient in mails.recipients(number)}
    if number in story.done["accept"]:
        assert [row.id for row in rows] == [story.done["accept"][number]], f"mail {number} is lost"
    if number not in story.done["accept"] and not any(_kept(store, row) for row in rows):
        assert not any(here.values()), f"mail {number} came out of nothing"
        return
    (row,) = rows
    if mails.held(number):
        released = number in story.done["release"]
        assert here[mails.BOB] >= released, f"the release of mail {number} is lost"
        assert number in story.begun["release"] or not here[mails.BOB], f"mail {number} was released by itself"
    else:
        assert all(here.values()), f"mail {number} is lost: {here}"
    _compare_rows(store, story, number, row)


def _kept(store: Store, message: Message) -> bool:
    """Tell whether more is there of a mail than the story of its refusal."""
    where = eq("mail_id", message.id)
    return bool(store.reader.count(Delivery, where) or store.reader.count(Copy, where))


def _compare_rows(store: Store, story: Story, number: int, message: Message) -> None:
    ways = store.reader.find(Delivery, Query(where=eq("mail_id", message.id))).items
    copies = store.reader.find(Copy, Query(where=eq("mail_id", message.id))).items
    assert {way.state for way in ways} <= {State.DELIVERED}
    folders = {(copy.mailbox, copy.folder) for copy in copies}
    for recipient in set(mails.recipients(number)) - {mails.BARE}:
        for folder in ("Quarantine", "Archive") if mails.held(number) else ("Archive", "INBOX"):
            purged = folder == "INBOX" and story.begun["purge"]
            assert purged or (recipient, folder) in folders, f"the copy of mail {number} in {folder} is lost"
    body = store.reader.body(message.id)
    data = body and (body.data if body.path is None else Path(body.path).read_bytes())
    assert data == (mails.raw(number) if copies else None)


def _end(process: BaseProcess, tracer: subprocess.Popen[str] | None) -> int:
    process.join(PATIENCE)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    if tracer is not None:
        tracer.communicate(timeout=PATIENCE)
    assert code is not None, "the process hung"
    return code
