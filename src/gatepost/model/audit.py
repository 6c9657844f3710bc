"""Who did what: the actor of a request, and the entry that each act of his leaves behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

MASK = "***"  # stands for a secret

ADD, CHANGE, REMOVE = "add", "change", "remove"
"""The acts that the store notes by itself; others are verbs that services name: sign-in, read, release ..."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a change, from where, and why. No `ip`: over the control socket."""

    login: str = ""
    admin_id: int | None = None
    user_id: int | None = None
    token_id: int | None = None
    maker: str | None = None  # the login of who made the token by impersonation (rules 13)
    ip: str = ""
    request_id: str = ""
    reason: str | None = None  # as stated in X-Access-Reason


ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)
"""For whom the task at hand works; None: for nobody (the mail road), and nothing is noted."""


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Let an actor answer for what is changed inside."""
    before = ACTOR.set(actor)
    try:
        yield
    finally:
        ACTOR.reset(before)


class Audit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One act. Dates are epoch milliseconds; names are kept as they were, since the object may be gone by now.

    `kind` is the struct's name in snake case, `object_id` its id as text ("" where the act concerns many). `before` and
    `after` hold the members that changed, all of them of what was added or removed; of many objects {"count", "items",
    "first_id", "last_id"}, items as far as they take at most 64 KB (rules 17). Secrets are masked. The three ids tell
    who may see it.
    """

    id: int = 0
    at: int
    login: str
    admin_id: int | None = None
    user_id: int | None = None
    token_id: int | None = None
    maker: str | None = None
    ip: str = ""
    request_id: str = ""
    reason: str | None = None
    act: str
    kind: str
    object_id: str = ""
    name: str = ""
    broker_id: int | None = None
    customer_id: int | None = None
    domain_id: int | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
