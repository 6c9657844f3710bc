"""Sends each domain that asks for it a daily report on how TLS fared with its hosts (RFC 8460); no day twice."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from urllib.parse import unquote

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.events import Clock, keep, log
from gatepost.mailauth import records
from gatepost.message import tls_report
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.problem import Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.tls_reports import TlsReport, TlsResult
from gatepost.mta.notices import Notices
from gatepost.mta.poster import Poster, Refused
from gatepost.mta.tls_results import DAY
from gatepost.settings import Settings
from gatepost.store.store import Reader, Store
from gatepost.store.writer import Writer

LOOK = 60.0  # seconds between two looks at what is due
SPREAD = 4 * 3_600_000  # milliseconds after the end of a day within which its reports go (RFC 8460 4.1)
KEPT = 3  # days after which results go unreported
LIFE = DAY  # milliseconds for which a report is tried
FIRST, LONGEST = 60_000, 3 * 3_600_000  # milliseconds between two tries
CHUNK = 500
TARGETS = 5  # addresses of one domain that get a report
PATIENCE = 10.0  # seconds for one post
AT_ONCE = 50  # domains that are asked, and reports that are sent, side by side

T = TypeVar("T")


class TlsReports:
    """One for the process. Results turn into reports in one commit, and a report into a queued mail in another."""

    def __init__(
        self,
        store: Store,
        flush: Callable[[], Awaitable[None]],
        resolver: Resolver,
        notices: Notices,
        settings: Settings,
        clock: Clock,
    ) -> None:
        """`flush` keeps what is counted in memory."""
        sender = settings.tls_reports.sender
        self._sender = parse_address(sender).text if sender else ""
        self._store = store
        self._flush = flush
        self._resolver = resolver
        self._notices = notices
        self._poster = Poster(
            resolver,
            timeout=PATIENCE,
            private=settings.relay.allow_private_destinations,
            ca_file=settings.mta_sts.ca_file,
        )
        self._organization = settings.tls_reports.organization or settings.hostname
        self._hostname = settings.hostname
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, where there is a sender; returns at once."""
        if self._sender:
            self._task = keep(self._run, "TLS reports")

    async def stop(self) -> None:
        """Break off; what is half done is done again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.round()
            except Problem as problem:
                log.warning("TLS reports wait", why=problem.detail)

    async def round(self) -> None:
        """Keep what was counted, make the reports on days that are over, and send what is due."""
        await self._flush()
        now = self._clock()
        over = await self._over(now // DAY)
        ripe = [(day, domain) for day, domain in over if now >= (day + 1) * DAY + _delay(domain)]
        await _each(lambda of: self._make(*of, now), ripe)
        due = Query(where=Where("due", Op.LE, now), sort="due", limit=CHUNK)
        await self._store.write(partial(_bring_near, now))
        await _each(self._send, (await self._store.read(lambda reader: reader.find(TlsReport, due))).items)

    async def _over(self, today: int) -> list[tuple[int, str]]:
        """The days before this one, and the domains of which there are results of them."""
        found: dict[tuple[int, str], None] = {}
        after: int | None = 0
        while after is not None:
            rows = await self._store.read(partial(_results, before=today, after=after))
            found.update(((row.day, row.domain), None) for row in rows)
            after = rows[-1].id if len(rows) == CHUNK else None
        return list(found)

    async def _make(self, day: int, domain: str, now: int) -> None:
        """Turn one domain's results of a day into reports, one for each address that it has published."""
        targets = await self._targets(domain)
        if targets is None and now // DAY - day <= KEPT:
            return
        of_day = every(eq("day", day), eq("domain", domain))
        date = datetime.fromtimestamp(day * DAY // 1000, UTC).date().isoformat()
        report_id = f"{date}.{domain}@{self._hostname}"

        def change(writer: Writer) -> None:
            results = writer.find(TlsResult, Query(where=of_day, sort="id")).items
            body = tls_report.document(self._organization, self._sender, report_id, day, results)
            for uri in targets or () if results else ():
                row = TlsReport(
                    domain=domain, day=day, uri=uri, report_id=report_id, body=body, created_at=now, due=now
                )
                writer.add(row)
            writer.remove(TlsResult, of_day)

        await self._store.write(change)

    async def _targets(self, domain: str) -> Sequence[str] | None:
        """Where a domain wants its reports (RFC 8460 3); None where that can't be told now."""
        try:
            texts = await self._resolver.txt(f"_smtp._tls.{domain}")
        except Missing:
            return ()
        except DnsFailure:
            return None
        found = records.of_version(texts, "TLSRPTv1")
        named = records.tags(found[0]).get("rua", "").split(",") if len(found) == 1 else []
        wanted = [uri for uri in map(str.strip, named) if uri.lower().startswith(("mailto:", "https://"))]
        return list(dict.fromkeys(wanted))[:TARGETS]

    async def _send(self, report: TlsReport) -> None:
        try:
            if report.uri.lower().startswith("https://"):
                headers = {"Content-Type": tls_report.MEDIA_TYPE}
                await self._poster.post(report.uri, tls_report.packed(report), headers)
                await self._store.write(lambda writer: _drop(writer, report))
            else:
                await self._mail(report, _address(report.uri))
        except (Refused, BadAddress) as error:
            await self._put_off(report, str(error), lasting=isinstance(error, BadAddress))
        except Problem as problem:  # no way to the address, or the store takes no writes
            await self._put_off(report, problem.detail, lasting=False)
        else:
            log.info("TLS report sent", domain=report.domain, to=report.uri, report=report.report_id)

    async def _mail(self, report: TlsReport, to: Address) -> None:
        """Queue the mail that brings a report, in the commit that forgets it."""
        mail_id = self._notices.new_id()
        data = tls_report.mail(
            report,
            sender=self._sender,
            submitter=self._hostname,
            to=to.text,
            message_id=f"{mail_id}@{self._hostname}",
            now=self._clock(),
        )
        await self._notices.send(mail_id, data, to, lambda writer: _drop(writer, report))

    async def _put_off(self, report: TlsReport, why: str, *, lasting: bool) -> None:
        now = self._clock()
        over = lasting or now - report.created_at >= LIFE
        log.warning("TLS report not sent", domain=report.domain, to=report.uri, why=why, given_up=over)
        due = now + min(FIRST << min(report.attempts, 20), LONGEST)

        def change(writer: Writer) -> None:
            if over:
                _drop(writer, report)
            else:
                writer.change(TlsReport, report.id, due=due, attempts=report.attempts + 1)

        await self._store.write(change)


async def _each(act: Callable[[T], Awaitable[None]], items: Sequence[T]) -> None:
    """Do what waits for strangers' servers, with some items side by side: a silent one holds up few others."""
    for at in range(0, len(items), AT_ONCE):
        done = await asyncio.gather(*map(act, items[at : at + AT_ONCE]), return_exceptions=True)
        for error in filter(None, done):
            raise error


def _results(reader: Reader, before: int, after: int) -> Sequence[TlsResult]:
    where = every(Where("day", Op.LT, before), Where("id", Op.GT, after))
    return reader.find(TlsResult, Query(where=where, sort="id", limit=CHUNK)).items


def _bring_near(now: int, writer: Writer) -> None:
    """Make due what waits longer than any honest wait: it was put off by a clock that was ahead (threat 86)."""
    for far in writer.find(TlsReport, Query(where=Where("due", Op.GT, now + LONGEST), limit=CHUNK)).items:
        writer.change(TlsReport, far.id, due=now, created_at=now)


def _drop(writer: Writer, report: TlsReport) -> None:
    writer.remove(TlsReport, eq("id", report.id))


def _address(uri: str) -> Address:
    """Return whom a mailto: names (RFC 6068); raise BadAddress."""
    return parse_address(unquote(uri.partition(":")[2].partition("?")[0]))


def _delay(domain: str) -> int:
    """So many milliseconds after midnight, another for each domain, that not all reports go at once."""
    return int.from_bytes(hashlib.sha256(domain.encode()).digest()[:4]) * SPREAD >> 32
