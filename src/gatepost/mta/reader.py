"""A reader: a process that tells of small mails what each tells by itself, while many come at once.

It takes them apart, examines who sent them, and asks the filters that may be asked anywhere. It knows no store and no
secret of the environment, and ends when its input does. What fails here is done again by the daemon, whose words it
then is.
"""

import asyncio
import os
import resource
import socket
import time
from typing import cast

import structlog

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.filters import registry
from gatepost.filters.registry import Filter
from gatepost.mailauth.examine import Examiner
from gatepost.mailauth.report import fields
from gatepost.message.mail import Mail, Opener
from gatepost.message.worker import (
    end_with_the_daemon,
    go_before_the_daemon,
    installed,
    leave_signals_to_the_daemon,
)
from gatepost.model.envelope import Body
from gatepost.mta.claims import claims_of
from gatepost.mta.reading import (
    Answer,
    Frames,
    Job,
    Outbox,
    Reading,
    Said,
    Setup,
    from_the_world,
    job_decoder,
    setup_decoder,
)
from gatepost.process import keep_the_heap, loop_factory, spare_the_collector

_clock = time.perf_counter


class Reader:
    """Reads mail after mail, or several side by side while DNS is asked; raises SettingsError as the daemon does."""

    def __init__(self, setup: Setup) -> None:
        resolver = Resolver(setup.dns, wall_clock)
        tools = registry.Tools(limits=setup.limits, resolver=resolver, timeout=setup.filters.timeout)
        self._filters = registry.load(setup.filters, tools)
        self._opener = Opener(setup.filters, setup.limits)
        self._examiner = Examiner(resolver, setup.auth.timeout)
        self._auth = setup.auth
        self._hostname = setup.hostname

    async def read(self, job: Job) -> Reading | None:
        """Return what a mail tells by itself, None where that can't be said."""
        try:
            return await self._read(Mail(job.envelope, Body(len(job.data), job.data), self._opener))
        except Exception:  # the daemon reads it again, and tells of what befalls it then
            return None

    async def _read(self, mail: Mail) -> Reading:
        started = _clock()
        anatomy = mail.glance()
        if anatomy is None:
            return Reading()
        opened = _clock()
        if self._auth.enabled and from_the_world(mail.envelope):
            mail.auth = await self._examiner.examine(mail, anatomy)
        proofs = tuple(fields(mail.auth, mail.envelope, self._hostname)) if mail.auth else ()
        proved = _clock()
        said = {one.name: answer for one in self._filters if (answer := await _asked(one, mail))}
        claims = claims_of(mail, anatomy)
        return Reading(anatomy, opened - started, mail.auth, proved - opened, said, claims, proofs)


async def _asked(one: Filter, mail: Mail) -> Said | None:
    started = _clock()
    try:
        findings = tuple(await one.examine(mail, mail.envelope.recipients[0]))
    except Exception:  # likewise
        return None
    return Said(findings, _clock() - started)


class Talk(asyncio.Protocol):
    """The talk with the daemon: its settings, then its mails, until it hangs up."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._frames = Frames()
        self._reader: Reader | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._outbox: Outbox

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outbox = Outbox(cast(asyncio.WriteTransport, transport))

    def data_received(self, data: bytes) -> None:
        for body in self._frames.take(data):
            if self._reader is None:
                self._reader = _make(setup_decoder.decode(body))
                self._outbox.send(Answer(0))
            else:
                task = asyncio.create_task(self._answer(self._reader, job_decoder.decode(body)))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _answer(self, reader: Reader, job: Job) -> None:
        reading = await reader.read(job)
        try:
            self._outbox.send(Answer(job.number, reading))
        except Exception:  # what can't be told is found again
            self._outbox.send(Answer(job.number))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def _make(setup: Setup) -> Reader:
    if setup.version != installed():
        raise SystemExit(os.EX_CONFIG)  # another one was installed since the daemon began
    reader = Reader(setup)
    spare_the_collector()
    return reader


async def serve(talk: socket.socket) -> None:
    """Answer until the daemon hangs up."""
    _, protocol = await asyncio.get_running_loop().create_unix_connection(Talk, sock=talk)
    await protocol.ended


def main() -> None:
    """Run as `python -m gatepost.mta.reader`, its input a socket; what libraries print goes to the error output."""
    end_with_the_daemon()
    go_before_the_daemon()
    leave_signals_to_the_daemon()
    talk = socket.socket(fileno=os.dup(0))
    os.dup2(2, 1)
    structlog.configure(processors=[_drop])  # the daemon tells the same of what it asks
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_the_heap()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(talk))


def _drop(*_: object) -> structlog.typing.EventDict:
    raise structlog.DropEvent


if __name__ == "__main__":
    main()
