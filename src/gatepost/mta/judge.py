"""The judge: findings and one recipient's policy in, a verdict out. Pure; the only place that weighs categories."""

import datetime
from collections.abc import Callable, Sequence

import msgspec

from gatepost.model.policy import ArchiveProps, Policy, QuarantineProps, RelayProps
from gatepost.model.verdict import Action, Category, Finding, Folder, Keep, OnError, Verdict

DAY = 86_400_000

# What a sender's ALLOW rule outweighs (rules 4): never VIRUS, BAD_ATTACHMENT or SENDER_VERIFY.
OUTWEIGHED = frozenset({Category.SPAM, Category.ADVERT, Category.BLOCKED, Category.BAD_HEADERS, Category.BAD_ENCODING})

RELAYS: dict[Category, Callable[[RelayProps, float], bool]] = {
    Category.SPAM: lambda props, score: props.relay_spam and score < props.spam_score_limit,
    Category.ADVERT: lambda props, score: props.relay_advert,
    Category.BAD_HEADERS: lambda props, score: props.relay_bad_headers,
    Category.BAD_ATTACHMENT: lambda props, score: props.relay_bad_attachments,
}

TAGS: dict[Category, Callable[[RelayProps], str | None]] = {
    Category.SPAM: lambda props: props.prefix_spam,
    Category.ADVERT: lambda props: props.advert_prefix,
}

QUARANTINES: dict[Category, Callable[[QuarantineProps], bool]] = {
    Category.VIRUS: lambda props: props.store_virus,
    Category.BLOCKED: lambda props: props.store_blacklisted,
    Category.BAD_ATTACHMENT: lambda props: props.store_bad_attachments,
    Category.BAD_ENCODING: lambda props: props.store_bad_encoding,
    Category.BAD_HEADERS: lambda props: props.store_bad_headers,
    Category.SENDER_VERIFY: lambda props: props.store_sender_verify,
    Category.SPAM: lambda props: props.store_spam,
    Category.ADVERT: lambda props: props.store_advert,
}

ARCHIVES: dict[Category, Callable[[ArchiveProps], bool]] = {
    Category.BLOCKED: lambda props: props.store_blacklisted,
    Category.BAD_ATTACHMENT: lambda props: props.store_bad_attachments,
    Category.BAD_ENCODING: lambda props: props.store_bad_encoding,
    Category.BAD_HEADERS: lambda props: props.store_bad_headers,
    Category.SENDER_VERIFY: lambda props: props.store_sender_verify,
    Category.SPAM: lambda props: props.store_spam,
    Category.ADVERT: lambda props: props.store_advert,
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge must know beside the findings. `received` in epoch milliseconds, `system_days` in days."""

    policy: Policy
    received: int
    outgoing: bool = False  # the policy is the sender's: sent mail is kept by the ...MailOut flags
    clean_only: bool = False  # an outside member of a group gets CLEAN mail alone (rules 9)
    system_days: int = 31
    full: bool = False  # the domain has no room left for copies of clean mail and the archive (rules 27)


def judge(findings: Sequence[Finding], case: Case) -> Verdict:
    """Return what becomes of a mail for one recipient (architecture 5, rules 1-4)."""
    return _Bench(findings, case).decide()


class _Bench:
    """One sitting: collects the path of the decision while it is made."""

    def __init__(self, findings: Sequence[Finding], case: Case) -> None:
        self.findings = findings
        self.case = case
        self.policy = case.policy
        self.score = round(sum([finding.score for finding in findings]), 3)
        self.path: list[str] = []
        self.stated = {finding.category for finding in findings}
        self.found: set[Category] = set()

    def decide(self) -> Verdict:
        if Category.OVERSIZE in self.stated:
            return self._verdict(Action.REJECT, Category.OVERSIZE, ("larger than the policy allows: refused",))
        unsure = self._first(Category.UNSURE, OnError.DEFER)
        if unsure:
            return self._verdict(Action.DEFER, Category.UNSURE, (f"{unsure.symbol}: deferred",))
        found = self.found = self._found()
        held_back = [category for category in found if not self._relays(category)]
        if held_back:
            return self._doubted(held_back) or self._withhold(max(held_back))
        return self._deliver(found)

    def _found(self) -> set[Category]:
        """The categories that hold against this mail, after the score and ALLOW have spoken."""
        found = {category for category in self.stated if category > Category.CLEAN}
        if self._unsure_hold():
            found.add(Category.BAD_ATTACHMENT)
        if self.score >= self.policy.spam_score:
            self.path.append(f"score {self.score:g} reaches the spam score {self.policy.spam_score:g}")
            found.add(Category.SPAM)
        allow = self._first(Category.ALLOWED, None)
        outweighed = found & OUTWEIGHED
        if allow and outweighed:
            self.path.append(f"{allow.symbol} outweighs {_names(outweighed)}")
            found -= outweighed
        return found

    def _unsure_hold(self) -> bool:
        return self._first(Category.UNSURE, OnError.QUARANTINE) is not None

    def _first(self, category: Category, on_error: OnError | None) -> Finding | None:
        if category not in self.stated:
            return None
        return next((f for f in self.findings if f.category is category and f.on_error is on_error), None)

    def _relays(self, category: Category) -> bool:
        if self.case.clean_only:
            self.path.append(f"{category.name}: an address outside the domain gets clean mail alone")
            return False
        if self._answers(category) is not None:
            self.path.append(f"{category.name}: content that can't be looked into has an answer of its own")
            return False
        read = RELAYS.get(category)
        relays = read is not None and read(self.policy.relay_props, self.score)
        self.path.append(f"{category.name}: the policy {'delivers' if relays else 'does not deliver'} it")
        return relays

    def _deliver(self, found: set[Category]) -> Verdict:
        props = self.policy.relay_props
        tags = tuple([tag for category, read in TAGS.items() if category in found and (tag := read(props))])
        gravest = max(found, default=Category.CLEAN)
        keep = self._in_room(self._keep_clean() if gravest is Category.CLEAN else self._archive(gravest))
        return self._verdict(Action.DELIVER, gravest, ("to be delivered",), tags=tags, keep=keep)

    def _doubted(self, held_back: Sequence[Category]) -> Verdict | None:
        """Put the mail off where it would pass by a rule of which it can't be said now whether it allows."""
        doubt = self._first(Category.ALLOWED, OnError.DEFER)
        if doubt is None or not OUTWEIGHED.issuperset(held_back):
            return None
        told = msgspec.structs.replace(doubt, category=Category.UNSURE)
        self.findings = [told if each is doubt else each for each in self.findings]
        return self._verdict(Action.DEFER, Category.UNSURE, (f"{doubt.symbol}: deferred",))

    def _withhold(self, category: Category) -> Verdict:
        answer = self._answers(category)
        keep = () if answer is False else self._quarantine(category) + self._in_room(self._archive(category))
        if keep:
            return self._verdict(Action.HOLD, category, (f"kept as {category.name}",), keep=keep)
        if answer:
            keep = (self._system_keep(),)
            return self._verdict(Action.HOLD, category, ("kept, though no store flag asks for it",), keep=keep)
        return self._verdict(Action.REJECT, category, (f"not kept as {category.name}: refused",))

    def _answers(self, category: Category) -> bool | None:
        """What a finding itself asks for: hold (True), refuse (False), or what the policy says (rules 3)."""
        if category is Category.BAD_ATTACHMENT and self._unsure_hold():
            return True
        asked = {f.hold for f in self.findings if f.category is category and f.hold is not None}
        return None if not asked else False not in asked

    def _quarantine(self, category: Category) -> tuple[Keep, ...]:
        props = self.policy.quarantine_props
        if not (self.policy.quarantine and props and QUARANTINES[category](props)):
            return ()
        return (Keep(Folder.QUARANTINE, self.case.received + props.duration * DAY),)

    def _archive(self, category: Category) -> tuple[Keep, ...]:
        props = self.policy.archive_props
        read = ARCHIVES.get(category)
        if not (self.policy.archive and props and read and read(props)):
            return ()
        return (self._archive_keep(props),)

    def _archive_keep(self, props: ArchiveProps) -> Keep:
        return Keep(Folder.ARCHIVE, months_later(self.case.received, props.duration))

    def _keep_clean(self) -> tuple[Keep, ...]:
        out = self.case.outgoing
        keep: list[Keep] = []
        retention, archive = self.policy.retention_props, self.policy.archive_props
        if self.policy.retention and retention and (retention.store_mail_out if out else retention.store_clean_mail_in):
            folder = Folder.SENT if out else Folder.INBOX
            keep.append(Keep(folder, self.case.received + retention.duration * DAY))
        if self.policy.archive and archive and (archive.store_mail_out if out else archive.store_clean_mail_in):
            keep.append(self._archive_keep(archive))
        return tuple(keep)

    def _in_room(self, keep: tuple[Keep, ...]) -> tuple[Keep, ...]:
        if keep and self.case.full:
            self.path.append("the domain has no room left: not kept for retention or archive")
            return ()
        return keep

    def _system_keep(self) -> Keep:
        return system_keep(self.case.received, self.case.system_days)

    def _verdict(
        self,
        action: Action,
        category: Category,
        said: tuple[str, ...],
        *,
        tags: tuple[str, ...] = (),
        keep: tuple[Keep, ...] = (),
    ) -> Verdict:
        return Verdict(
            action=action,
            category=category,
            score=self.score,
            found=tuple(sorted(self.found)),
            tags=tags,
            keep=keep,
            because=tuple([f for f in self.findings if f.category is not Category.NOTE]),
            path=(*self.path, *said),
        )


def system_keep(received: int, days: int) -> Keep:
    """Return the term of a hold that no store flag asks for (rules 2, 3)."""
    return Keep(Folder.SYSTEM, received + days * DAY)


def months_later(at: int, months: int) -> int:
    """Return `at` (epoch milliseconds) moved by calendar months, at the month's last day where the day is missing."""
    moment = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC)
    month = moment.month - 1 + months
    year = min(moment.year + month // 12, datetime.MAXYEAR)
    month = month % 12 + 1
    last = (datetime.date(year + month // 12, month % 12 + 1, 1) - datetime.timedelta(days=1)).day
    moved = moment.replace(year=year, month=month, day=min(moment.day, last))
    return int(moved.timestamp()) * 1000 + at % 1000


def _names(categories: set[Category]) -> str:
    return ", ".join(category.name for category in sorted(categories))
