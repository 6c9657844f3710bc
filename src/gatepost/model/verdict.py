"""What filters find, and what the judge makes of it for each recipient."""

from enum import IntEnum, StrEnum

import msgspec

from gatepost.model.problem import Kind


class Category(IntEnum):
    """What a mail is, by gravity: the larger value is the graver."""

    CLEAN = 0
    ADVERT = 1
    SPAM = 2
    SENDER_VERIFY = 3
    BAD_HEADERS = 4
    BAD_ENCODING = 5
    BAD_ATTACHMENT = 6
    BLOCKED = 7
    VIRUS = 8
    OVERSIZE = 9  # refused, never stored (rules 3)

    # What a finding may also say; never a verdict's category.
    ALLOWED = -1  # a sender rule lets it pass; what that outweighs is the judge's knowledge
    SCORE = -2  # points for the spam score, nothing more
    UNSURE = -3  # the filter failed or ran out of time; `on_error` says what follows
    NOTE = -4  # for the trace alone


NAMES = {category: category.name for category in Category}
"""What categories are called; to ask one for its name takes three calls, which each mail would make several times."""


class OnError(StrEnum):
    """What follows when a filter can't say."""

    DEFER = "defer"
    ACCEPT = "accept"
    QUARANTINE = "quarantine"


class Action(StrEnum):
    DELIVER = "deliver"
    HOLD = "hold"
    REJECT = "reject"
    DEFER = "defer"


class Folder(StrEnum):
    """Where a kept copy lies; the values are the paths that clients see (`model/folder.py`)."""

    INBOX = "INBOX"  # clean mail that came in, for re-reading; days of the retention
    SENT = "Sent"  # clean mail that was sent, likewise
    DRAFTS = "Drafts"  # mail that its owner has not sent yet
    QUARANTINE = "Quarantine"  # not delivered; days
    ARCHIVE = "Archive"  # months
    SYSTEM = "System"  # a hold that no store flag asks for; days (rules 3)


HOLDS = (Folder.QUARANTINE, Folder.SYSTEM)
"""The folders of what was kept from its recipients."""


class Finding(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One fact that one filter states about a mail, or about a mail and one rule set.

    `symbol` is UPPER_SNAKE; `reason` a sentence for people, free of raw input controls; `seen` what of the mail it goes
    by, likewise ("" where the reason says all); `score` counts toward the spam score; `on_error` only with UNSURE, or
    (DEFER) with ALLOWED while nobody can say whether the rule holds; `rule_id` the rule that matched, its `owner` as
    text.
    `hold` marks a finding that is held (never refused) when it decides: content that could not be looked into.
    `instead` is what the filter would state were the rule not there: what the next rule says.
    `kind` is set where a mail that it refuses or defers is answered in words of their own.
    """

    category: Category
    symbol: str
    reason: str
    by: str
    seen: str = ""
    score: float = 0.0
    rule_id: int | None = None
    owner: str | None = None
    on_error: OnError | None = None
    hold: bool | None = None
    kind: Kind | None = None
    instead: "Finding | None" = None


class Keep(msgspec.Struct, frozen=True):
    """A copy to store: in which folder, and until when (epoch milliseconds)."""

    folder: Folder
    until: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What becomes of a mail for one recipient.

    `category` is the case that decided (the gravest found, for a delivered mail), `found` all that hold against it;
    `tags` are subject prefixes in order; `path` says in sentences how the judge came to it; `because` are the findings
    that counted.
    """

    action: Action
    category: Category
    score: float
    found: tuple[Category, ...] = ()
    tags: tuple[str, ...] = ()
    keep: tuple[Keep, ...] = ()
    because: tuple[Finding, ...] = ()
    path: tuple[str, ...] = ()
