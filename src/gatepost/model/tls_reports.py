"""TLS reports: how sessions with a domain's mail hosts fared, day by day, and what is yet to be told (RFC 8460)."""

from enum import StrEnum

import msgspec


class PolicyType(StrEnum):
    """By what a domain asks for TLS, in the words of RFC 8460 4.4."""

    TLSA = "tlsa"
    STS = "sts"
    NONE = "no-policy-found"


class TlsResult(msgspec.Struct, frozen=True, kw_only=True):
    """How often one thing came of sessions on a day: `result` is a type of RFC 8460 4.3, "" for TLS as it should be.

    `day` counts from 1970-01-01 (UTC). `policy` and `mx` are the policy as it was applied; host and address are known
    of what failed alone.
    """

    id: int = 0
    day: int
    domain: str
    policy_type: PolicyType
    policy: list[str] = []
    mx: list[str] = []
    result: str = ""
    host: str = ""
    ip: str = ""
    count: int


class TlsReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report that waits to be sent to one address that its domain has published; `body` is the JSON document.

    Dates are epoch milliseconds.
    """

    id: int = 0
    domain: str
    day: int
    uri: str
    report_id: str
    body: str
    created_at: int
    due: int
    attempts: int = 0
