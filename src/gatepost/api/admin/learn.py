"""Lessons for the classifier (addition)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gatepost.api.body import octets
from gatepost.api.endpoint import Call, endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.services.training import Count, Learnt, Training


class Whose(msgspec.Struct, frozen=True):
    """The domain that is asked about; none: all."""

    domain: Annotated[str, Meta(max_length=255)] | None = None


class Lesson(msgspec.Struct, frozen=True):
    """What the mail is, and the domain that it is learnt for; no domain: for all."""

    kind: Literal["spam", "ham"]
    domain: Annotated[str, Meta(max_length=255)] | None = None


@endpoint(
    "POST",
    "/lessons",
    permission="TASK_SPAMFIGHT",
    status=200,
    addition=True,
    problems=(Kind.NOT_FOUND, Kind.TOO_LARGE, Kind.UNPROCESSABLE, Kind.UNAVAILABLE),
)
async def learn_mail(training: Training, caller: Caller, call: Call, query: Lesson) -> Learnt:
    """Teach the classifier that the mail in the body is spam, or ham: clean; answer whether that was news to it."""
    training.check(caller, query.domain)
    raw = await octets(call.request, training.largest)
    return await training.learn(caller, raw, query.domain, spam=query.kind == "spam")


@endpoint("GET", "/lessons", permission="TASK_SPAMFIGHT", addition=True, problems=(Kind.NOT_FOUND,))
async def count_lessons(training: Training, caller: Caller, query: Whose) -> Count:
    """Count the mails that the classifier has learnt."""
    return training.learnt(caller, query.domain)
