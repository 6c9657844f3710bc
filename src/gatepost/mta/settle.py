"""How a delivery stands after an attempt: done, given up, or due again. Pure."""

import msgspec

from gatepost.model.stored import Attempt, Delivery, State
from gatepost.mta.bounce import Settled, wants_delay
from gatepost.mta.outcome import Outcome, Result
from gatepost.settings import Queue

DAY = 86_400_000
LOG_MAX = 120  # attempts that a row remembers: all of a life of five days


def settled(delivery: Delivery, outcome: Outcome, now: int, settings: Queue) -> Settled:
    """Return the delivery with what an attempt changes in it; `now` in epoch milliseconds."""
    change: dict[str, object] = {}
    match outcome.result:
        case Result.DELIVERED:
            change = {"state": State.DELIVERED, "done_at": now, "remote_id": outcome.remote_id}
        case Result.FAILED:
            change = {"state": State.BOUNCED, "done_at": now}
        case Result.DEFERRED:
            change = _later(delivery, now, settings)
    row = msgspec.structs.replace(
        delivery,
        attempts=delivery.attempts + 1,
        last_reply=outcome.reply.line,
        log=[*delivery.log, _attempt(outcome, now)][-LOG_MAX:],
        **change,
    )
    return Settled(row, outcome, delayed=row.delay_told and not delivery.delay_told)


def wait(attempts: int, settings: Queue) -> int:
    """Return the milliseconds to the next try after so many: 5, 10, 20, 40, 66, 66 ... minutes (threat 93)."""
    return min(settings.first_retry << min(attempts - 1, 30), settings.max_retry) * 1000


def _later(delivery: Delivery, now: int, settings: Queue) -> dict[str, object]:
    expires = _end(delivery, now, settings)
    if now >= expires:
        return {"state": State.EXPIRED, "done_at": now}
    late = now - (expires - settings.life * 1000) >= settings.delay_notice * 1000
    told = delivery.delay_told or (late and wants_delay(delivery))
    return {"due": now + wait(delivery.attempts + 1, settings), "expires": expires, "delay_told": told}


def _end(delivery: Delivery, now: int, settings: Queue) -> int:
    """Return when a mail's life ends by the clock as it is now (threats 86, 102).

    A gap longer by a day than any back-off doesn't count: the clock has leapt, or the machine was off. No life is
    longer than the longest: else it began by a clock that was ahead, and the sender would never be told.
    """
    gap = now - (delivery.log[-1].at if delivery.log else delivery.created)
    leapt = gap > settings.max_retry * 1000 + DAY
    return min(delivery.expires + (gap if leapt else 0), now + settings.life * 1000)


def _attempt(outcome: Outcome, now: int) -> Attempt:
    reply = outcome.reply
    return Attempt(
        at=outcome.at or now,
        hop=outcome.hop,
        tls=outcome.tls,
        code=reply.code,
        reply=reply.text,
        took=outcome.took,
        skipped=list(outcome.skipped),
    )
