"""Makes the calls that webhooks ask for; they are written in the commit of what they tell of."""

from collections.abc import Callable, Sequence

import msgspec

from gatepost.events import Clock
from gatepost.model.query import Query
from gatepost.model.stored import Copy, Delivery, Message, State
from gatepost.model.verdict import Folder
from gatepost.model.webhook import HookCall, HookEvent, Webhook
from gatepost.store.store import Store

_OUTCOMES = {
    State.QUEUED: HookEvent.DEFERRED,
    State.DELIVERED: HookEvent.DELIVERED,
    State.BOUNCED: HookEvent.BOUNCED,
    State.EXPIRED: HookEvent.BOUNCED,
}
_HELD = {Folder.QUARANTINE.value, Folder.SYSTEM.value}


class Hooks:
    """Knows the webhooks of every domain, as configuration has them; domains without one cost a look-up in memory.

    It is asked in the loop, never in the writer's thread.
    """

    def __init__(self, store: Store, clock: Clock, *, told: Callable[[], None] = lambda: None) -> None:
        """`told` is called when there is something to tell."""
        self._store = store
        self._clock = clock
        self._told = told
        self._generation = -1
        self._by_domain: dict[int, list[Webhook]] = {}

    def of_mail(self, message: Message, deliveries: Sequence[Delivery], copies: Sequence[Copy]) -> list[HookCall]:
        """Tell of a mail that was taken: what is queued, what is held."""
        if not self._current():
            return []
        facts = _about(message)
        queued = [self._calls(HookEvent.QUEUED, each.domain_id, {**facts, **_way(each)}) for each in deliveries]
        held = [
            self._calls(HookEvent.QUARANTINED, each.domain_id, {**facts, **_copy(each)})
            for each in copies
            if each.folder in _HELD
        ]
        return [call for calls in (*queued, *held) for call in calls]

    def of_delivery(self, message: Message | None, delivery: Delivery) -> list[HookCall]:
        """Tell what an attempt came to."""
        event = _OUTCOMES.get(delivery.state)
        if event is None or not self._current():
            return []
        return self._calls(event, delivery.domain_id, {**_about(message), **_way(delivery), **_answer(delivery)})

    def listen(self, domain_id: int | None) -> bool:
        """Tell whether anybody wants to hear of a domain's mail."""
        return self._current() and (domain_id or 0) in self._by_domain

    def of_return(self, event: HookEvent, delivery: Delivery, text: str) -> list[HookCall]:
        """Tell what came back of a mail that had left."""
        return self._calls(event, delivery.domain_id, {**_way(delivery), "reply": text}) if self._current() else []

    def of_release(self, message: Message, copy: Copy) -> list[HookCall]:
        """Tell of a mail that left a folder."""
        if not self._current():
            return []
        return self._calls(HookEvent.RELEASED, copy.domain_id, {**_about(message), **_copy(copy)})

    def _calls(self, event: HookEvent, domain_id: int | None, facts: dict[str, object]) -> list[HookCall]:
        now = self._clock()
        payload = msgspec.json.encode({"event": event.value, "at": now, **facts}).decode()
        made = [
            HookCall(webhook_id=hook.id, event=event, payload=payload, created_at=now, due=now)
            for hook in self._by_domain.get(domain_id or 0, ())
            if event in hook.events
        ]
        if made:
            self._told()
        return made

    def _current(self) -> bool:
        """Read the webhooks anew where configuration changed; tell whether there are any."""
        generation = self._store.generation
        if self._generation != generation:
            by_domain: dict[int, list[Webhook]] = {}
            for hook in self._store.reader.find(Webhook, Query()).items:
                if hook.active:
                    by_domain.setdefault(hook.domain_id, []).append(hook)
            self._generation, self._by_domain = generation, by_domain
        return bool(self._by_domain)


def _about(message: Message | None) -> dict[str, object]:
    if message is None:
        return {}
    return {
        "mailId": message.id,
        "messageId": message.message_id,
        "subject": message.subject,
        "from": message.header_from,
        "direction": message.direction,
        "size": message.size,
    }


def _way(delivery: Delivery) -> dict[str, object]:
    return {"mailId": delivery.mail_id, "sender": delivery.sender, "recipient": delivery.recipient}


def _answer(delivery: Delivery) -> dict[str, object]:
    last = delivery.log[-1] if delivery.log else None
    return {
        "attempts": delivery.attempts,
        "reply": delivery.last_reply,
        "server": last.hop if last else "",
        "remoteId": delivery.remote_id,
        "nextTry": delivery.due if delivery.state is State.QUEUED else None,
    }


def _copy(copy: Copy) -> dict[str, object]:
    return {
        "mailId": copy.mail_id,
        "recipient": copy.mailbox,
        "folder": copy.folder,
        "category": copy.category,
        "score": copy.score,
        "reason": copy.reason,
    }
