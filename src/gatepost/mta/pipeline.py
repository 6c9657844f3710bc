"""The pipeline: runs the filters over a mail, cheap ones first, and gives each recipient its findings."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Container, Hashable, Iterable, Iterator, Sequence

import msgspec

from gatepost.dns import Resolver
from gatepost.events import Metrics, Trail, log
from gatepost.filters.registry import Cost, Filter
from gatepost.mailauth.examine import Examiner, unknown
from gatepost.mailauth.report import facts
from gatepost.message.anatomy import Anatomy
from gatepost.message.authors import authors, shown
from gatepost.message.mail import Busy, Mail
from gatepost.message.tries import TRIES, Tries
from gatepost.model.envelope import Recipient, Role
from gatepost.model.verdict import Category, Finding, OnError
from gatepost.mta.directory import Directory
from gatepost.mta.rulebook import Claims
from gatepost.settings import Auth


class Findings(msgspec.Struct, frozen=True):
    """What the filters found for one recipient, whose rules are now those that bear on this mail."""

    recipient: Recipient
    findings: tuple[Finding, ...]


class Report(msgspec.Struct, frozen=True):
    """What came of a run: the mail taken apart (None: it could not be), each recipient's findings, and the names of
    those that looked through it for viruses."""

    anatomy: Anatomy | None
    found: tuple[Findings, ...]
    scanners: tuple[str, ...] = ()


class Pipeline:
    """Filters see neither each other nor the store: order changes speed, never meaning (architecture 4)."""

    def __init__(
        self,
        filters: Sequence[Filter],
        directory: Directory,
        resolver: Resolver,
        *,
        auth: Auth,
        timeout: float,
        metrics: Metrics,
    ) -> None:
        self._tiers = _tiers(filters)
        self._scanners = [
            (one.name, scanner) for _, tier in self._tiers for one in tier if (scanner := getattr(one, "scanner", ""))
        ]
        self._directory = directory
        self._examiner = Examiner(resolver, auth.timeout)
        self._auth = auth
        self._timeout = timeout
        self._seconds = {
            name: metrics.scan_seconds.labels(name) for name in ("open", "auth", *(one.name for one in filters))
        }
        self._unsure = metrics.unsure
        self._tries = Tries()

    async def run(self, mail: Mail, trail: Trail) -> Report:
        """Ask every filter; never raises for a filter's failure, which is an UNSURE finding instead."""
        opened, unopened = await self._open(mail, trail)
        if self._auth.enabled and _from_the_world(mail):
            await self._prove(mail, opened, trail)
        claims = _claims(mail, opened)
        recipients = [self._directory.with_rules(recipient, claims) for recipient in mail.envelope.recipients]
        found: dict[int, list[Finding]] = {index: [] for index in range(len(recipients))}
        for findings in found.values():
            findings.extend(unopened)
        times: dict[str, float] = {}
        for cost, filters in self._tiers:
            if cost >= Cost.PARSE and opened is None:
                break
            await self._ask(filters, mail, recipients, found, trail, times)
            if all(_settled(findings) for findings in found.values()):
                break
        trail.add("scanned", ms=times)
        each = (Findings(recipient, tuple(found[index])) for index, recipient in enumerate(recipients))
        return Report(opened, tuple(each), tuple(self._heard(times, found.get(0, ()))))

    def _heard(self, asked: Container[str], findings: Sequence[Finding]) -> Iterator[str]:
        """Yield the names of the scanners that were asked and did say; what they say is the same for all recipients."""
        silent = {each.by for each in findings if each.category is Category.UNSURE or each.symbol.endswith("_SKIPPED")}
        for filter_name, scanner in self._scanners:
            if filter_name in asked and filter_name not in silent:
                yield scanner

    async def _open(self, mail: Mail, trail: Trail) -> tuple[Anatomy | None, list[Finding]]:
        """Return the mail taken apart, or what is found instead. The opener keeps its own time."""
        started = time.perf_counter()
        try:
            anatomy = mail.glance() or await mail.anatomy()
        except Busy as error:
            return None, [_unscannable(str(error), OnError.DEFER)]
        except Exception as error:  # whatever befell the worker, the mail is not passed on unseen
            log.warning("mail could not be opened", id=mail.envelope.id, error=repr(error))
            trail.add("scanned", "the mail could not be opened", error=type(error).__name__)
            return None, [await self._tried(mail)]
        self._seconds["open"].observe(time.perf_counter() - started)
        return anatomy, []

    async def _prove(self, mail: Mail, opened: Anatomy | None, trail: Trail) -> None:
        """Look at who sent the mail; when that fails nothing is known, so that it waits where a proof decides."""
        started = time.perf_counter()
        try:
            mail.auth = await self._examiner.examine(mail, opened)
        except Exception as error:  # no mail is lost for want of a proof
            log.error("sender could not be examined", id=mail.envelope.id, error=repr(error), exc_info=True)
            trail.add("examined", "the sender could not be examined", error=type(error).__name__)
            mail.auth = unknown(mail.envelope, opened, f"it could not be examined ({type(error).__name__})")
            return
        took = time.perf_counter() - started
        self._seconds["auth"].observe(took)
        trail.add("examined", **facts(mail.auth), ms={"auth": _milliseconds(took)})

    async def _tried(self, mail: Mail) -> Finding:
        tries = await self._tries.count(mail)
        reason = f"the content could not be opened (try {tries} of {TRIES})"
        return _unscannable(reason, OnError.QUARANTINE if tries >= TRIES else OnError.DEFER)

    async def _ask(
        self,
        filters: Sequence[Filter],
        mail: Mail,
        recipients: Sequence[Recipient],
        found: dict[int, list[Finding]],
        trail: Trail,
        times: dict[str, float],
    ) -> None:
        """Ask filters of one cost; note in `times` the milliseconds that each took."""
        if len(filters) == 1 or filters[0].cost <= Cost.PARSE:
            # They use the processor alone: side by side would only be slower.
            for one in filters:
                times[one.name] = await self._ask_one(one, mail, recipients, found, trail)
            return
        async with asyncio.TaskGroup() as group:
            asked = {one.name: group.create_task(self._ask_one(one, mail, recipients, found, trail)) for one in filters}
        times.update({name: task.result() for name, task in asked.items()})

    async def _ask_one(
        self,
        one: Filter,
        mail: Mail,
        recipients: Sequence[Recipient],
        found: dict[int, list[Finding]],
        trail: Trail,
    ) -> float:
        """Ask one filter for all recipients; return the milliseconds that it took."""
        started = asked = time.perf_counter()
        for members in _alike(one, recipients):
            findings = await self._examine(one, mail, recipients[members[0]])
            done = time.perf_counter()
            if findings:
                for index in members:
                    found[index].extend(findings)
                shared = len(members) == len(recipients)
                told_to = (None,) if shared else [recipients[index].address.key for index in members]
                self._tell(one, findings, told_to, done - asked, trail)
            asked = done
        took = asked - started
        self._seconds[one.name].observe(took)
        return _milliseconds(took)

    def _tell(
        self, one: Filter, findings: Sequence[Finding], mailboxes: Iterable[str | None], took: float, trail: Trail
    ) -> None:
        """Note what a filter found, for each mailbox that it concerns (None: for all)."""
        for each in findings:
            if each.on_error is not None:
                self._unsure.labels(one.name, each.on_error.value).inc()
        told = [_told(each) for each in findings]
        for mailbox in mailboxes:
            trail.add("found", mailbox=mailbox, filter=one.name, findings=told, ms={one.name: _milliseconds(took)})

    async def _examine(self, one: Filter, mail: Mail, recipient: Recipient) -> list[Finding]:
        try:
            if one.cost <= Cost.PARSE:
                return list(await one.examine(mail, recipient))
            async with asyncio.timeout(self._timeout):
                return list(await one.examine(mail, recipient))
        except Exception as error:  # a failing filter defers, or what its on_error says; never passes by accident
            log.error("filter failed", filter=one.name, id=mail.envelope.id, error=repr(error), exc_info=True)
            return [
                Finding(
                    category=Category.UNSURE,
                    symbol="FILTER_FAILED",
                    reason=f"{one.name} could not say ({type(error).__name__})",
                    by=one.name,
                    on_error=one.on_error,
                )
            ]


def _tiers(filters: Sequence[Filter]) -> list[tuple[Cost, list[Filter]]]:
    tiers: dict[Cost, list[Filter]] = defaultdict(list)
    for one in sorted(filters, key=lambda each: (each.cost, each.name)):
        tiers[one.cost].append(one)
    return sorted(tiers.items())


_ONE = ((0,),)


def _alike(one: Filter, recipients: Sequence[Recipient]) -> Collection[Sequence[int]]:
    """Return the recipients for whom one run of the filter does."""
    if len(recipients) == 1:
        return _ONE
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, recipient in enumerate(recipients):
        groups[one.key(recipient)].append(index)
    return groups.values()


def _claims(mail: Mail, anatomy: Anatomy | None) -> Claims:
    """The identities that sender rules are held against."""
    envelope = [mail.envelope.sender] if mail.envelope.sender else []
    return Claims((*envelope, *authors(anatomy)), shown(anatomy)) if anatomy else Claims(tuple(envelope))


def _from_the_world(mail: Mail) -> bool:
    """Tell whether a mail came from a stranger: who signed in, or sends from our networks, needs no such proof."""
    client = mail.envelope.client
    return client.role is Role.MX and client.login is None


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _settled(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing else that is found could change what becomes of the mail."""
    return any(
        finding.category is Category.OVERSIZE
        or (finding.category is Category.UNSURE and finding.on_error is OnError.DEFER)
        for finding in findings
    )


def _told(finding: Finding) -> dict[str, object]:
    told: dict[str, object] = {
        "symbol": finding.symbol,
        "category": finding.category.name,
        "reason": finding.reason,
    }
    if finding.seen:
        told["seen"] = finding.seen
    if finding.score:
        told["score"] = finding.score
    if finding.rule_id is not None:
        told["rule"] = finding.rule_id
    if finding.owner is not None:
        told["owner"] = finding.owner
    return told


def _unscannable(reason: str, on_error: OnError) -> Finding:
    return Finding(category=Category.UNSURE, symbol="UNSCANNABLE", reason=reason, by="pipeline", on_error=on_error)
