"""What all engines have in common: their options, whom they are not asked about, and what follows without an answer."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.filters.servers import Patience, Server, Servers, Unanswered
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.message.tries import TRIES, Tries
from gatepost.model.envelope import Direction, Recipient
from gatepost.model.verdict import Category, Finding, OnError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Octets = Annotated[int, msgspec.Meta(ge=0)]
TooLarge = Literal["defer", "accept", "quarantine", "skip"]


class EngineOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "enabled": "false: this question is not asked; nor is it while no server is named",
        "servers": "/path/of/socket or host:port; the first that is up and has room is asked",
        "timeout": "seconds for one mail in all, less than [filters] timeout",
        "connect_timeout": "seconds for a connection, and for the ping that goes to a server that failed",
        "connections": "mails that one server is given at once",
        "failures": "failures in a row after which a server is left alone",
        "rest": "seconds for which it is left alone until one mail tries it",
        "weight": "what its points are multiplied by",
        "max_bytes": "octets of the largest mail that it is asked about; 0: of any size",
        "too_large": "what follows of a larger mail: defer, accept, quarantine; or skip, it passes unmarked",
        "skip_authenticated": "true: mail of who signed in passes unasked",
        "skip_outgoing": "true: mail that leaves passes unasked",
    }
    servers: list[str] = msgspec.field(default_factory=list)
    timeout: Seconds = 15.0
    connect_timeout: Seconds = 3.0
    connections: Count = 10
    failures: Count = 3
    rest: Seconds = 30.0
    weight: float = 1.0
    max_bytes: Octets = 0
    too_large: TooLarge = "quarantine"
    skip_authenticated: bool = False
    skip_outgoing: bool = False

    @property
    def in_force(self) -> bool:
        return self.enabled and bool(self.servers)


class Engine(ABC):
    """A question that servers of another program answer.

    An engine says how to `place` and `ping` a server, and what its `question` is. What is no clear answer is an
    exception of `servers.TROUBLE` there; nothing else lets a mail pass than an answer.
    """

    name: ClassVar[str]
    cost = Cost.DAEMON
    on_error: OnError

    def __init__(self, options: EngineOptions, tools: Tools) -> None:
        self._settings = options
        if options.timeout >= tools.timeout:
            raise ValueError(
                f"timeout: {options.timeout:g} s are not less than the {tools.timeout:g} s of [filters] timeout"
            )
        patience = Patience(
            options.timeout, options.connect_timeout, options.connections, options.failures, options.rest
        )
        try:
            places = [(text, self.place(text)) for text in options.servers]
        except ValueError as error:
            raise ValueError(f"servers: {error}") from error
        self._pool = Servers(self.name, places, patience, self.ping, tools.alarm)
        self._tries = Tries()

    @abstractmethod
    def place(self, text: str) -> Any:
        """Return what a server's text in the settings stands for; raise ValueError."""

    @abstractmethod
    async def ping(self, place: Any) -> None:
        """Return when a server says that it is well; raise one of TROUBLE."""

    @abstractmethod
    async def question(self, mail: Mail) -> Callable[[Any], Awaitable[list[Finding]]]:
        """Return what asks a server about a mail, and returns what is found or raises one of TROUBLE."""

    async def close(self) -> None:
        """Let go of what is kept open, if a protocol keeps anything; twice is harmless."""
        return None

    @property
    def servers(self) -> Sequence[Server[Any]]:
        """Its servers in the order of the settings."""
        return self._pool.all

    async def try_out(self) -> list[tuple[str, str]]:
        """Ping every server; return each with why it does not answer, "" if it does."""
        try:
            return await self._pool.try_out()
        finally:
            await self.close()

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        if why := self._passes(mail):
            return [self.finding(Category.NOTE, "SKIPPED", f"not asked: {why}")]
        most = self._settings.max_bytes
        if most and mail.body.size > most:
            return self.larger(f"{mail.body.size} octets are more than {most}")
        try:
            found, failed = await self._pool.ask(await self.question(mail))
        except Unanswered as error:
            return await self._unanswered(mail, error)
        if failed:
            found.append(self.finding(Category.NOTE, "FAILOVER", f"another server answered: {'; '.join(failed)}"))
        return found

    def finding(
        self, category: Category, what: str, reason: str, *, score: float = 0.0, on_error: OnError | None = None
    ) -> Finding:
        """Return a finding whose symbol is the engine's name and `what`."""
        symbol = f"{self.name.upper()}_{what}"
        return Finding(
            category=category, symbol=symbol, reason=plain(reason), by=self.name, score=score, on_error=on_error
        )

    def larger(self, why: str) -> list[Finding]:
        """Return what is found of a mail that is too large for the engine; come again, it would be no smaller."""
        if self._settings.too_large == "skip":
            return [self.finding(Category.NOTE, "SKIPPED", f"not asked: {why}")]
        on_error = OnError(self._settings.too_large)
        note = self.finding(Category.NOTE, "LIMIT", why)
        return [self._unsure("TOO_LARGE", "the mail is too large for it", on_error), note]

    def _passes(self, mail: Mail) -> str:
        if self._settings.skip_authenticated and mail.envelope.client.login is not None:
            return "its sender signed in"
        if self._settings.skip_outgoing and mail.envelope.direction is Direction.OUT:
            return "the mail leaves"
        return ""

    async def _unanswered(self, mail: Mail, error: Unanswered) -> Sequence[Finding]:
        """Return what follows when no server answered: `on_error`, unless it is this mail that fells them."""
        on_error, reason = self.on_error, "no answer"
        if error.over:
            tries = await self._tries.count(mail)
            reason = f"no answer (try {tries} of {TRIES})"
            if tries >= TRIES and on_error is OnError.DEFER:
                on_error = OnError.QUARANTINE
        return [self._unsure("UNSURE", reason, on_error), self.finding(Category.NOTE, "FAILED", str(error))]

    def _unsure(self, what: str, reason: str, on_error: OnError) -> Finding:
        return self.finding(Category.UNSURE, what, f"{self.name} could not say: {reason}", on_error=on_error)
