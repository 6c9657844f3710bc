"""Webhooks: who is told by HTTP of what befalls a domain's mail, and the calls that tell it."""

from enum import StrEnum

import msgspec


class HookEvent(StrEnum):
    """What can be told."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"  # for good, at the end of its life, or by a report that came back
    COMPLAINED = "complained"
    QUARANTINED = "quarantined"
    RELEASED = "released"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One URL that is called; `secret` (sealed) signs the calls. `created_at` in epoch milliseconds."""

    id: int = 0
    domain_id: int
    url: str
    events: list[HookEvent]
    secret: str
    active: bool = True
    created_at: int


class CallState(StrEnum):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"  # given up


class HookCall(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one webhook: `payload` is the JSON that is sent. Dates are epoch milliseconds."""

    id: int = 0
    webhook_id: int
    event: HookEvent
    payload: str
    created_at: int
    due: int
    attempts: int = 0
    state: CallState = CallState.WAITING
    last: str = ""  # what the last attempt came to
    done_at: int | None = None
