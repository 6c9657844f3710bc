"""One record for each thing that befalls a mail: the trace, the log line and the metrics are made from it."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterable
from itertools import accumulate
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from gatepost.model.stored import TraceEvent

Clock = Callable[[], int]
"""Returns the time as epoch milliseconds; tests hold it still."""


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


log = structlog.get_logger("gatepost")


AGAIN = 10.0  # seconds until a background loop that failed begins again


def keep(loop: Callable[[], Coroutine[Any, Any, object]], what: str, *, again: float = AGAIN) -> "asyncio.Task[None]":
    """Run a loop that must never end by itself; one that does is told of as an error, and begins again in a while."""
    return asyncio.create_task(_kept(loop, what, again), name=what)


async def _kept(loop: Callable[[], Coroutine[Any, Any, object]], what: str, again: float) -> None:
    task = asyncio.current_task()
    while True:
        error: BaseException | None = None
        try:
            await loop()
        except asyncio.CancelledError as failed:
            if task is None or task.cancelling():
                raise
            error = failed  # something that it waited for was broken off, not itself
        except Exception as failed:  # whatever befell it: the daemon works on for months, and this is part of its work
            error = failed
        log.critical("a background loop ended", loop=what, again_in=again, exc_info=error)
        await asyncio.sleep(again)


async def briefly(work: Coroutine[Any, Any, None], seconds: float) -> None:
    """Wait for the end of what may be broken off: nothing that was acknowledged hangs on it."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        log.warning("broken off", what=getattr(work, "__qualname__", ""), after=round(seconds, 1))


BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds up to which durations are counted together, those of prometheus_client's histograms."""


class Duration:
    """How long one thing takes: counts of seconds, the last of those above all `BOUNDS`, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one more; in the loop's thread alone, so that it takes no lock."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Durations(Collector):
    """A histogram of seconds with some labels; it is summed up when somebody reads it."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._labelnames = labels
        self._made: dict[tuple[str, ...], Duration] = {}
        registry.register(self)

    def labels(self, *values: str) -> Duration:
        """Return what is counted under these values of the labels."""
        return self._made.setdefault(values, Duration())

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the counts in the form of prometheus_client, each with those of all smaller bounds."""
        found = HistogramMetricFamily(self._name, self._text, labels=self._labelnames)
        for values, each in self._made.items():
            counts = zip([*map(str, BOUNDS), "+Inf"], accumulate(each.counts), strict=True)
            found.add_metric(values, list(counts), each.total)
        yield found


class Metrics:
    """What `/metrics` shows; one registry for each Gatepost, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Else every counter has a second series, of when it was made.
        disable_created_metrics()  # type: ignore[no-untyped-call]

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        def histogram(name: str, text: str, *labels: str) -> Durations:
            return Durations(name, text, labels, self.registry)

        self.connections = counter("gatepost_smtp_connections", "SMTP connections", "listener", "result")
        self.sessions = gauge("gatepost_smtp_sessions", "Open SMTP sessions", "listener")
        self.refusals = counter("gatepost_smtp_rejected", "SMTP commands and mails refused", "code")
        self.messages = counter(
            "gatepost_messages", "Mails judged, one for each recipient", "direction", "category", "action"
        )
        self.received_bytes = counter("gatepost_received_bytes", "Octets of mail accepted")
        self.scan_seconds = histogram("gatepost_scan_duration_seconds", "Time in the pipeline", "filter")
        self.unsure = counter("gatepost_filter_unsure", "Mails of which a filter could not say", "filter", "on_error")
        self.engine_up = gauge("gatepost_engine_up", "1 while an engine's server is asked", "filter", "server")
        self.deliveries = counter("gatepost_deliveries", "Delivery attempts", "result")
        self.tls_demands = counter(
            "gatepost_tls_demands", "Sessions with hosts that DANE, MTA-STS or REQUIRETLS asks TLS of", "by", "result"
        )
        self.requiretls = counter(
            "gatepost_requiretls_unmet", "Servers passed over as they can't be given mail with REQUIRETLS", "status"
        )
        self.signatures = counter("gatepost_dkim_signatures", "DKIM signatures of leaving mail", "result")
        self.delivery_seconds = histogram("gatepost_delivery_duration_seconds", "Time of one delivery attempt")
        self.queued = gauge("gatepost_queue_messages", "Deliveries in the queue", "state")
        self.commits = counter("gatepost_store_commits", "Transactions committed")
        self.commit_items = counter("gatepost_store_commit_items", "Writes in those transactions")
        self.wal_bytes = gauge("gatepost_store_wal_bytes", "Size of the write-ahead log")
        self.store_healthy = gauge("gatepost_store_healthy", "1 while the store takes writes")
        self.search_behind = gauge("gatepost_search_behind", "Stored copies whose text can't be searched yet")
        self.purged = counter("gatepost_purged", "Stored copies removed at the end of their term", "folder")
        self.requests = counter("gatepost_http_requests", "HTTP requests", "method", "status")
        self.alarms = counter(
            "gatepost_alarms", "Lists, engines and DNS that can't be used as they are", "source", "why"
        )
        self.limited = counter("gatepost_limited", "Mails and recipients over an hourly limit", "payer", "what")
        self.certificates = gauge(
            "gatepost_certificate_end_seconds", "When a certificate that is shown runs out, in epoch seconds", "file"
        )
        self.auth_failures = counter("gatepost_auth_failures", "Refused sign-ins", "door")


QUIET = 600_000  # milliseconds until the same alarm is told again


class Alarms:
    """Tells the administrator of faults outside: each one counts, and is told in the log once in a while."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._told: dict[tuple[str, str], int] = {}

    def tell(self, source: str, why: str, text: str) -> None:
        """Count a fault of `source`; `why` is one word for the metric, `text` a sentence for the log."""
        self._metrics.alarms.labels(source, why).inc()
        now = self._clock()
        if not 0 <= now - self._told.get((source, why), -QUIET) < QUIET:  # the clock may go back
            self._told[source, why] = now
            log.warning("alarm", source=source, why=why, what=text)


class Trail:
    """Collects the events of one mail while it goes round; the store keeps it with the verdict's commit."""

    __slots__ = ("_clock", "events")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.events: list[TraceEvent] = []

    def add(self, event: str, text: str = "", *, mailbox: str | None = None, **data: object) -> None:
        """Note an event at the present time; `mailbox` names the one recipient it concerns."""
        self.events.append(TraceEvent(at=self._clock(), event=event, mailbox=mailbox, text=text, data=data))
