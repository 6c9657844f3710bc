"""What can go wrong, said once: a kind that each door translates, and a detail for the stranger."""

from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The ways in which a request can fail; each door has one table from kind to its own code."""

    MALFORMED = "malformed"  # bad or missing input
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"  # the key exists already, or the object is busy
    PRECONDITION = "precondition"  # a header that must, or must not, be there
    UNPROCESSABLE = "unprocessable"  # well-formed, but not allowed now
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    NOT_ACCEPTABLE = "not_acceptable"  # none of the forms asked for is offered
    UNSUPPORTED = "unsupported"  # a media type or a feature that is not offered
    FULL = "full"  # no space left
    UNAVAILABLE = "unavailable"  # the store or a peer does not answer; try later

    # What only the mail road says.
    RELAYING_DENIED = "relaying_denied"
    UNKNOWN_USER = "unknown_user"
    DISABLED_USER = "disabled_user"
    DISABLED_DOMAIN = "disabled_domain"
    PENDING_DOMAIN = "pending_domain"
    DELETED_DOMAIN = "deleted_domain"
    POLICY_REFUSED = "policy_refused"
    UNVERIFIED = "unverified"  # the next hop could not say whether the address exists
    SENDER_REFUSED = "sender_refused"  # this login may not send as that address
    NULL_MX = "null_mx"
    SENDER_UNSURE = "sender_unsure"  # DNS does not say now whether the sender is who he says
    BAD_ADDRESS = "bad_address"
    NEEDS_SMTPUTF8 = "needs_smtputf8"
    LOOP = "loop"
    SLOWED = "slowed"  # the account sends too much, or spam
    SUPPRESSED = "suppressed"  # mail of this domain no longer goes to that address
    SPLIT = "split"  # this recipient's policy needs a transaction of its own


class Problem(Exception):
    """A failure that has an answer.

    `detail` is shown to the stranger; `pointer` is the JSON pointer of the member at fault, where there is one;
    `context` is for the log alone.
    """

    def __init__(self, kind: Kind, detail: str, *, pointer: str | None = None, **context: Any) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.pointer = pointer
        self.context = context

    def __repr__(self) -> str:
        return f"Problem({self.kind.value}, {self.detail!r})"
