"""What is proven of who sent a mail: the results of SPF, DKIM, DMARC, ARC and iprev, in the words of RFC 8601 2.7."""

from enum import StrEnum

import msgspec


class Result(StrEnum):
    """What a check says. `POLICY`: a signature holds, but is not of a kind that is taken."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Spf(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a domain's record says of the client's address (RFC 7208).

    `lookups` counts the terms that ask DNS, beyond the limit too; `reason` says what is wrong; `matched` is the term
    that decided. `steps` tells the evaluation, `answers` the DNS answers it used, a line each.
    """

    result: Result
    domain: str
    lookups: int = 0
    reason: str = ""
    matched: str = ""
    steps: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One DKIM signature (RFC 6376). `bits` of the key, 0 where it is unknown; `start` the first of b=."""

    result: Result
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    bits: int = 0
    start: str = ""
    reason: str = ""


class Arc(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the chain of ARC sets is worth (RFC 8617): none, pass or fail; `sealers` are its domains, newest first.

    `author` is the domain of From for which the first of them saw DMARC pass, "" for none. `unsure`: it fails for want
    of an answer or of time, so that another look might find that it holds; then both are what it claims.
    """

    result: Result = Result.NONE
    sealers: tuple[str, ...] = ()
    author: str = ""
    reason: str = ""
    unsure: bool = False


class Iprev(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Whether the client's address has a name that leads back to it (RFC 8601 2.7.3); `name` only where it passes."""

    result: Result = Result.NONE
    ip: str = ""
    name: str = ""
    reason: str = ""


class Policy(StrEnum):
    """What a domain asks for mail that fails (RFC 9989 4.7)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Dmarc(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What DMARC says of the author's domain (RFC 9989).

    `record` is the domain whose record applies, "" for none; `policy` what it asks for, after sp, np and t. `by` says
    which aligned identifiers pass ("spf", "dkim").
    """

    result: Result
    domain: str = ""
    record: str = ""
    organisation: str = ""
    policy: Policy = Policy.NONE
    by: tuple[str, ...] = ()
    reason: str = ""


class AuthResults(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """All that was looked at. `authors` are the addresses in From by their keys.

    `proven`: an SPF pass or a DKIM pass is aligned with every author's domain. `sender_proven`: MAIL FROM is as true,
    so that a report may go there. `unsure`: an answer that might have proven the author did not come in time.
    """

    authors: tuple[str, ...] = ()
    mail_from: Spf
    helo: Spf
    signatures: tuple[Signature, ...] = ()
    dmarc: Dmarc
    arc: Arc = Arc()
    iprev: Iprev = Iprev()
    proven: bool = False
    sender_proven: bool = False
    unsure: bool = False
