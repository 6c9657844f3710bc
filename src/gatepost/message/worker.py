"""The worker: a process of its own that opens large mails and archives; hostile ones can't take the daemon down.

Frames go through pipes: four octets of length, then msgpack. The worker holds itself to limits of memory and CPU, may
write no file, knows no secret of the environment, and ends when its input does.
"""

import ctypes
import logging
import os
import resource
import signal
import struct
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import msgspec

from gatepost.message.anatomy import Anatomy
from gatepost.message.meter import Stop
from gatepost.settings import Limits

LENGTH = struct.Struct(">I")
_OOM_SCORE = Path("/proc/self/oom_score_adj")  # proc_pid_oom_score_adj(5)
_PARENT_DEATH_SIGNAL = 1  # prctl(2)
_FILES = 64
_ALARM = 1.05  # times the limit; by then what looks at the clock itself has stopped


class Job(msgspec.Struct, frozen=True):
    """A mail to take apart: its octets, or the file that holds them.

    `version` is the daemon's. A worker of another one reads nothing: an anatomy goes without the names of its members,
    so that one that is not made alike would be taken for something else.
    """

    version: str
    limits: Limits
    data: bytes | None = None
    path: str | None = None


class Failure(msgspec.Struct, frozen=True, tag=True):
    """Why there is no anatomy; `spent`: for want of memory."""

    text: str
    spent: bool = False


class Success(msgspec.Struct, frozen=True, tag=True):
    anatomy: Anatomy


Result = Success | Failure
encoder = msgspec.msgpack.Encoder()
job_decoder = msgspec.msgpack.Decoder(Job)
result_decoder: msgspec.msgpack.Decoder[Result] = msgspec.msgpack.Decoder(Result)


@cache
def installed() -> str:
    """Return the version that was there when this process first asked; one that begins later may find another."""
    return version("gatepost")


def frame(message: Job | Success | Failure) -> bytes:
    """Return a message as it goes through a pipe."""
    body = encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer jobs one by one until the input ends."""
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        body = source.read(LENGTH.unpack(head)[0])
        sink.write(frame(_answer(body)))
        sink.flush()


def _answer(body: bytes) -> Success | Failure:
    from gatepost.message.archive import Unpacker
    from gatepost.message.parse import dissect

    try:
        job = job_decoder.decode(body)
        if job.version != installed():
            raise SystemExit(os.EX_CONFIG)  # another one was installed since the daemon began
        _restrain(job.limits)
        data = Path(job.path).read_bytes() if job.path is not None else job.data or b""
        signal.setitimer(signal.ITIMER_PROF, job.limits.scan_seconds * _ALARM)
        clock = time.process_time  # seconds of the processor: a busy machine makes no mail suspect
        return Success(dissect(data, job.limits, unpack=Unpacker(job.limits, clock), timer=clock))
    except (OSError, MemoryError, msgspec.DecodeError) as error:
        return Failure(f"{type(error).__name__}: {error}", isinstance(error, MemoryError))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _late(*_: object) -> None:
    """End a step that never looks at the clock, such as a library's loop over what an archive claims."""
    raise Stop("opening took too long")


def _restrain(limits: Limits) -> None:
    """Set the limits for the next job: memory as a multiple of what it may hold, CPU from now on."""
    memory = 6 * limits.message_bytes + 4 * limits.archive_bytes + 768_000_000
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + limits.scan_seconds) + 5
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CPU, seconds)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def end_with_the_daemon() -> None:
    """Have the system kill this process when the one that started it dies, stopped or at work as it may be.

    Where the system can't, it ends when its input does.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def go_before_the_daemon() -> None:
    """Have the system end this process first where memory runs out: that costs a mail a 451, not all of them."""
    with suppress(OSError):
        _OOM_SCORE.write_text("1000")


def leave_signals_to_the_daemon() -> None:
    """Pass over what asks to stop: a manager of services asks all, and the daemon wants its work under way answered.

    This process ends with it.
    """
    for which in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(which, signal.SIG_IGN)


def main() -> None:
    """Run as `python -m gatepost.message.worker`; what libraries print goes to the error output."""
    end_with_the_daemon()
    go_before_the_daemon()
    leave_signals_to_the_daemon()
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)  # what libraries say of a stranger's file is no news
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES)
    signal.signal(signal.SIGPROF, _late)
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
