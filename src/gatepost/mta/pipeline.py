"""The pipeline: runs the filters over a mail, cheap ones first, and gives each recipient its findings."""

import asyncio
import errno
import time
from collections import defaultdict
from collections.abc import Collection, Container, Hashable, Mapping, Sequence

import msgspec

from gatepost.dns import Resolver
from gatepost.events import Metrics, Trail, log
from gatepost.filters.registry import Cost, Filter
from gatepost.lookout import within
from gatepost.mailauth.examine import Examiner
from gatepost.mailauth.report import facts, fields
from gatepost.message.anatomy import Anatomy
from gatepost.message.mail import Busy, Mail
from gatepost.message.tries import TRIES, Tries
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import NAMES, Category, Finding, OnError
from gatepost.mta.claims import claims_of
from gatepost.mta.directory import Directory
from gatepost.mta.readers import Readers
from gatepost.mta.reading import Reading, Said, from_the_world
from gatepost.settings import Settings

_UNREAD = Reading()  # what no reader told


class Findings(msgspec.Struct, frozen=True):
    """What the filters found for one recipient, whose rules are now those that bear on this mail."""

    recipient: Recipient
    findings: tuple[Finding, ...]


class Report(msgspec.Struct, frozen=True):
    """What came of a run: the mail taken apart (None: it could not be), each recipient's findings, the names of those
    that looked through it for viruses, and the fields that tell what is proven of its sender."""

    anatomy: Anatomy | None
    found: tuple[Findings, ...]
    scanners: tuple[str, ...] = ()
    proofs: tuple[tuple[str, str], ...] = ()


class _Round:
    """One mail on its way through the filters: what is found for each recipient, and the milliseconds of each filter.

    `said` is what filters have told of the mail elsewhere; those are not asked again.
    """

    def __init__(
        self,
        mail: Mail,
        recipients: Sequence[Recipient],
        unopened: Sequence[Finding],
        trail: Trail,
        said: Mapping[str, Said],
    ) -> None:
        self.mail = mail
        self.recipients = recipients
        self.found = [list(unopened) for _ in recipients]
        self.times: dict[str, float] = {}
        self.trail = trail
        self.said = said


class Pipeline:
    """Filters see neither each other nor the store: order changes speed, never meaning (architecture 4)."""

    def __init__(
        self,
        filters: Sequence[Filter],
        directory: Directory,
        resolver: Resolver,
        settings: Settings,
        *,
        metrics: Metrics,
        readers: Readers | None = None,
    ) -> None:
        self._tiers = _tiers(filters)
        self._scanners = [
            (one.name, scanner) for _, tier in self._tiers for one in tier if (scanner := getattr(one, "scanner", ""))
        ]
        self._directory = directory
        self._examiner = Examiner(resolver, settings.auth.timeout)
        self._hostname = settings.hostname
        self._auth = settings.auth
        self._timeout = settings.filters.timeout
        self._seconds = {
            name: metrics.scan_seconds.labels(name) for name in ("open", "auth", *(one.name for one in filters))
        }
        self._unsure = metrics.unsure
        self._tries = Tries()
        self._readers = readers

    async def run(self, mail: Mail, trail: Trail, *, crowd: int = 0) -> Report:
        """Ask every filter; never raises for a filter's failure, which is an UNSURE finding instead.

        `crowd`: how many mails are under way; where they are several a reader may tell what this one tells by itself.
        """
        reading, opened, unopened = await self._open(mail, trail, crowd)
        proofs: tuple[tuple[str, str], ...] = ()
        if self._auth.enabled and from_the_world(mail.envelope):
            proofs = await self._prove(mail, opened, reading, trail)
        claims = reading.claims or claims_of(mail, opened)
        recipients = [self._directory.with_rules(recipient, claims) for recipient in mail.envelope.recipients]
        this = _Round(mail, recipients, unopened, trail, reading.said)
        for cost, filters in self._tiers:
            if cost >= Cost.PARSE and opened is None:
                break
            await self._ask(filters, this)
            if all(map(_settled, this.found)):
                break
        trail.add("scanned", ms=this.times)
        each = [Findings(recipient, tuple(found)) for recipient, found in zip(recipients, this.found, strict=True)]
        first = this.found[0] if this.found else ()
        return Report(opened, tuple(each), self._heard(this.times, first), proofs)

    def _heard(self, asked: Container[str], findings: Sequence[Finding]) -> tuple[str, ...]:
        """Return the names of the scanners that were asked and did say; what they say is the same for all."""
        silent = {each.by for each in findings if each.category is Category.UNSURE or each.symbol.endswith("_SKIPPED")}
        return tuple([scanner for name, scanner in self._scanners if name in asked and name not in silent])

    async def _open(self, mail: Mail, trail: Trail, crowd: int) -> tuple[Reading, Anatomy | None, list[Finding]]:
        """Return what a reader told, the mail taken apart, or what is found instead. The opener keeps its own time."""
        reading = _UNREAD
        try:
            if self._readers is not None and (read := await self._readers.read(mail, crowd)):
                reading = read
                mail.take(reading.anatomy)
            started = time.perf_counter()
            anatomy = mail.glance() or await mail.anatomy()
        except Busy as error:
            return reading, None, [_not_now(mail, str(error))]
        except Exception as error:  # whatever befell reader or worker, the mail is not passed on unseen
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):  # no fault of the mail
                return reading, None, [_not_now(mail, f"it can't be opened now ({error.strerror})")]
            log.warning("mail could not be opened", id=mail.envelope.id, error=repr(error))
            trail.add("scanned", "the mail could not be opened", error=type(error).__name__)
            return reading, None, [await self._tried(mail)]
        self._seconds["open"].observe(reading.opening or time.perf_counter() - started)
        return reading, anatomy, []

    async def _prove(
        self, mail: Mail, opened: Anatomy | None, reading: Reading, trail: Trail
    ) -> tuple[tuple[str, str], ...]:
        """Look at who sent the mail, and return the fields that tell it.

        When that fails nothing is known, so that the mail waits where a proof decides.
        """
        started = time.perf_counter()
        try:
            mail.auth = reading.auth or await self._examiner.examine(mail, opened)
        except Exception as error:  # no mail is lost for want of a proof
            log.error("sender could not be examined", id=mail.envelope.id, error=repr(error), exc_info=True)
            trail.add("examined", "the sender could not be examined", error=type(error).__name__)
            reason = f"it could not be examined ({type(error).__name__})"
            mail.auth = await self._examiner.doubt(mail, opened, reason)
            return tuple(fields(mail.auth, mail.envelope, self._hostname))
        took = reading.proving if reading.auth else time.perf_counter() - started
        self._seconds["auth"].observe(took)
        trail.add("examined", **facts(mail.auth), ms={"auth": _milliseconds(took)})
        return reading.proofs or tuple(fields(mail.auth, mail.envelope, self._hostname))

    async def _tried(self, mail: Mail) -> Finding:
        tries = await self._tries.count(mail)
        reason = f"the content could not be opened (try {tries} of {TRIES})"
        return _unscannable(reason, OnError.QUARANTINE if tries >= TRIES else OnError.DEFER)

    async def _ask(self, filters: Sequence[Filter], this: _Round) -> None:
        """Ask filters of one cost."""
        if len(filters) > 1 and filters[0].cost > Cost.PARSE:
            async with asyncio.TaskGroup() as group:
                asked = {one.name: group.create_task(self._ask_one(one, this)) for one in filters}
            this.times.update({name: task.result() for name, task in asked.items()})
            return
        # They use the processor alone, or there is but one: side by side would only be slower.
        for one in filters:
            said = this.said.get(one.name)
            took = await self._ask_one(one, this) if said is None else self._take(one, said, this)
            this.times[one.name] = took

    def _take(self, one: Filter, said: Said, this: _Round) -> float:
        """Note what a filter said elsewhere; return the milliseconds that it took there."""
        if said.findings:
            self._note(one, said.findings, range(len(this.recipients)), said.seconds, this)
        self._seconds[one.name].observe(said.seconds)
        return _milliseconds(said.seconds)

    async def _ask_one(self, one: Filter, this: _Round) -> float:
        """Ask one filter for all recipients; return the milliseconds that it took.

        One that fails defers, or what its `on_error` says; nothing passes by accident.
        """
        started = asked = time.perf_counter()
        for members in _alike(one, this.recipients):
            try:
                asking = one.examine(this.mail, this.recipients[members[0]])
                found = list(await (asking if one.cost <= Cost.PARSE else within(self._timeout, asking)))
            except Exception as error:
                log.error("filter failed", filter=one.name, id=this.mail.envelope.id, error=repr(error), exc_info=True)
                found = [_failed(one, error)]
            done = time.perf_counter()
            if found:
                self._note(one, found, members, done - asked, this)
            asked = done
        took = asked - started
        self._seconds[one.name].observe(took)
        return _milliseconds(took)

    def _note(
        self, one: Filter, findings: Sequence[Finding], members: Sequence[int], took: float, this: _Round
    ) -> None:
        """Note what a filter found for some of the recipients: for the judge, and in the trace."""
        for index in members:
            this.found[index].extend(findings)
        for each in findings:
            if each.on_error is not None:
                self._unsure.labels(one.name, each.on_error.value).inc()
        told = [_told(each) for each in findings]
        shared = len(members) == len(this.recipients)
        for mailbox in (None,) if shared else [this.recipients[index].address.key for index in members]:
            this.trail.add("found", mailbox=mailbox, filter=one.name, findings=told, ms={one.name: _milliseconds(took)})


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


def _milliseconds(seconds: float) -> float:
    """Return a time to the nearest hundredth of a millisecond; `round` takes ten times as long."""
    return int(seconds * 100_000 + 0.5) / 100


def _settled(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing else that is found could change what becomes of the mail."""
    if not findings:
        return False
    stated = {finding.category for finding in findings}
    if Category.OVERSIZE in stated:
        return True
    return Category.UNSURE in stated and any(
        finding.category is Category.UNSURE and finding.on_error is OnError.DEFER for finding in findings
    )


def _told(finding: Finding) -> dict[str, object]:
    told: dict[str, object] = {
        "symbol": finding.symbol,
        "category": NAMES[finding.category],
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


def _failed(one: Filter, error: Exception) -> Finding:
    return Finding(
        category=Category.UNSURE,
        symbol="FILTER_FAILED",
        reason=f"{one.name} could not say ({type(error).__name__})",
        by=one.name,
        on_error=one.on_error,
    )


def _not_now(mail: Mail, reason: str) -> Finding:
    """A mail to come again; nothing is said of it, and no try is counted."""
    log.warning("mail can't be opened now", id=mail.envelope.id, error=reason)
    return _unscannable(reason, OnError.DEFER)


def _unscannable(reason: str, on_error: OnError) -> Finding:
    return Finding(category=Category.UNSURE, symbol="UNSCANNABLE", reason=reason, by="pipeline", on_error=on_error)
