"""Tells a verdict: to the mail's trace, to the log, and to the metrics."""

from collections.abc import Callable

from prometheus_client import Counter

from gatepost.events import Trail, log
from gatepost.model.envelope import Envelope
from gatepost.model.verdict import NAMES
from gatepost.mta.keeping import Judged


def trace(judged: Judged, trail: Trail) -> None:
    """Note what becomes of a mail for one recipient, how the judge came to it, and what would have changed it."""
    recipient, verdict = judged.recipient, judged.verdict
    through = {"group": recipient.group} if recipient.group else {}
    trail.add(
        "verdict",
        verdict.path[-1] if verdict.path else "",
        mailbox=recipient.address.key,
        action=verdict.action,
        category=NAMES[verdict.category],
        score=verdict.score,
        path=list(verdict.path),
        policy=recipient.policy.name if recipient.policy else None,
        keep=[{"folder": keep.folder, "until": keep.until} for keep in verdict.keep],
        nearest=[change.told for change in judged.near],
        **through,
    )


def announce(envelope: Envelope, judged: Judged, counter: Callable[[str, str, str], Counter]) -> None:
    """Count the verdict by direction, category and action, and log it."""
    verdict = judged.verdict
    category = NAMES[verdict.category]
    counter(envelope.direction, category, verdict.action).inc()
    log.info(
        "verdict",
        id=envelope.id,
        action=verdict.action,
        category=category,
        score=verdict.score,
        rules=[finding.symbol for finding in verdict.because],
        to=judged.recipient.address.text,
        sender=envelope.sender.text if envelope.sender else "",
        client=envelope.client.ip,
    )
