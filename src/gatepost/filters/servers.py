"""The servers of an engine: which one is asked, how many mails at once, and when one that fails is left alone.

A server that fails `failures` times in a row is down (an open circuit breaker): after `rest` seconds a single mail
tries it, by a ping before anything else, and the others leave it alone. One that can be reached and costs no time, but
talks nonsense, has no rest: who sends mails that make it do so can't keep it from the mails of others. While a server
has failures its ping goes before each mail, so that no mail spends its time on a dead one, and so that one which fells
the server is told from one that met a dead server.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

from gatepost.filters.registry import Alarm
from gatepost.filters.wire import Garbled, Unreachable
from gatepost.message.plain import plain
from gatepost.model.engine import EngineServer, Standing

T = TypeVar("T")
P = TypeVar("P")
TROUBLE = (OSError, EOFError, Garbled)
OVER = 2  # servers that are given a mail over which they fail


class Patience(NamedTuple):
    """Seconds for a mail in all, and for a ping; mails at once; failures in a row; seconds of rest."""

    seconds: float
    ping: float
    connections: int
    failures: int
    rest: float


class Unanswered(Exception):
    """No server said anything of a mail; the text says why. `over`: one that was well failed over this very mail."""

    def __init__(self, text: str, *, over: bool) -> None:
        super().__init__(text)
        self.over = over


class _Failed(Exception):
    def __init__(self, why: str, *, over: bool = False) -> None:
        super().__init__(why)
        self.over = over


class Server(Generic[P]):
    """One server: its breaker and its slots. `place` is what the engine connects to."""

    def __init__(
        self, engine: str, name: str, place: P, patience: Patience, alarm: Alarm, now: Callable[[], float]
    ) -> None:
        self.engine = engine
        self.name = name
        self.place = place
        self.failures = 0
        self.error = ""
        self.busy = 0  # mails at it or waiting for it
        self.slots = asyncio.Semaphore(patience.connections)
        self._patience = patience
        self._alarm = alarm
        self._now = now
        self._rests_until = 0.0
        self._probed = False

    @property
    def standing(self) -> Standing:
        if self._probed:
            return Standing.PROBED
        return Standing.UP if self.failures < self._patience.failures else Standing.DOWN

    @property
    def ready(self) -> bool:
        """Tell whether a mail may be brought here: it is up, or its rest is over and nobody tries it."""
        standing = self.standing
        return standing is Standing.UP or (standing is Standing.DOWN and self._now() >= self._rests_until)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Bring a mail here; of those that find the server down the first is the one that tries it."""
        probes = self.standing is Standing.DOWN
        self._probed = self._probed or probes
        try:
            yield
        finally:
            if probes:
                self._probed = False

    def answered(self) -> None:
        if self.failures >= self._patience.failures:
            self._alarm(f"{self.engine} {self.name}", "back", "it answers again")
        self.failures = 0
        self.error = ""

    def failed(self, why: str, *, dead: bool) -> None:
        """Note a failure; of one that is not `dead` but talks nonsense the next mail may be the one to try it."""
        self.failures += 1
        self.error = why
        if dead:
            self._rests_until = self._now() + self._patience.rest
        if self.failures == self._patience.failures:
            self._alarm(f"{self.engine} {self.name}", "down", f"it failed {self.failures} times in a row: {why}")

    def told(self) -> EngineServer:
        return EngineServer(
            filter=self.engine,
            server=self.name,
            standing=self.standing,
            failures=self.failures,
            error=self.error,
            busy=self.busy,
        )


class Servers(Generic[P]):
    """All servers of one engine, in the order of the settings: the first that is up and has room is asked."""

    def __init__(
        self,
        engine: str,
        places: Sequence[tuple[str, P]],
        patience: Patience,
        ping: Callable[[P], Awaitable[None]],
        alarm: Alarm,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = [Server(engine, name, place, patience, alarm, now) for name, place in places]
        self._patience = patience
        self._ping = ping

    async def ask(self, question: Callable[[P], Awaitable[T]]) -> tuple[T, list[str]]:
        """Return the first answer, and which servers failed before it and why; raise Unanswered.

        The time is shared among the servers that are left to ask.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience.seconds
        failed: list[str] = []
        over = 0
        ready = self._ready()
        for index, server in enumerate(ready):
            try:
                return await self._ask(server, question, (end - loop.time()) / (len(ready) - index)), failed
            except _Failed as error:
                failed.append(f"{server.name}: {error}")
                over += error.over
            if over == OVER:
                break
        raise Unanswered("; ".join(failed) or self._rest(), over=over > 0)

    async def try_out(self) -> list[tuple[str, str]]:
        """Ping every server; return each with why it does not answer, "" if it does."""
        found = []
        for server in self.all:
            try:
                await self._reach(server)
                found.append((server.name, ""))
            except TROUBLE as error:
                found.append((server.name, _words(error, self._patience.ping)))
        return found

    def _ready(self) -> list[Server[P]]:
        """The servers to ask, those with room first; the sort keeps the order of the settings."""
        ready = [server for server in self.all if server.ready]
        return sorted(ready, key=lambda server: max(0, server.busy + 1 - self._patience.connections))

    def _rest(self) -> str:
        return "; ".join(f"{server.name} is left alone: {server.error}" for server in self.all)

    async def _ask(self, server: Server[P], question: Callable[[P], Awaitable[T]], seconds: float) -> T:
        asked = waited = False
        server.busy += 1
        try:
            async with asyncio.timeout(seconds), server.slots:
                waited = True
                if not server.ready:  # meanwhile
                    raise _Failed(f"left alone: {server.error}")
                with server.attempt():
                    if server.failures:
                        await self._reach(server)
                    asked = True
                    answer = await question(server.place)
                    server.answered()
                    return answer
        except TROUBLE as error:
            if not waited:
                raise _Failed(f"busy with {server.busy} mails") from error
            why = _words(error, seconds)
            reached = asked and not isinstance(error, Unreachable)
            server.failed(why, dead=not reached or isinstance(error, TimeoutError))
            raise _Failed(why, over=reached) from error
        finally:
            server.busy -= 1

    async def _reach(self, server: Server[P]) -> None:
        """Ping a server; raise TROUBLE."""
        try:
            async with asyncio.timeout(self._patience.ping):
                await self._ping(server.place)
        except TimeoutError as error:
            raise Unreachable(f"no answer to a ping within {self._patience.ping:g} s") from error


def _words(error: Exception, seconds: float) -> str:
    if type(error) is TimeoutError:
        return f"no answer within {math.ceil(seconds * 10) / 10:g} s"
    if isinstance(error, EOFError):
        return "hung up without an answer"
    return plain(str(error) or type(error).__name__)
