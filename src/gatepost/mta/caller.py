"""Calls webhooks: signed, in order, again while they don't answer; from a table that outlives the process."""

import asyncio
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from gatepost.dns import Resolver
from gatepost.events import Clock, keep, log
from gatepost.model.problem import Problem
from gatepost.model.query import Any, Not, Op, Query, Where, eq, every
from gatepost.model.webhook import CallState, HookCall, Webhook
from gatepost.mta.poster import Poster, Refused
from gatepost.settings import Webhooks as WebhookSettings
from gatepost.store.secrets import Unsealable
from gatepost.store.store import Store, Writer

LOOK_AGAIN = 5.0  # seconds between two looks at the table
SOON = 0.2  # seconds until what was just told stands in the table
AT_ONCE = 20  # URLs that are called side by side
CHUNK = 100  # calls that are taken up at once, and removed at once
FIRST, LONGEST = 60_000, 6 * 3_600_000  # milliseconds between two attempts
DAY, HOUR = 86_400_000, 3_600_000
SET_BACK = 60_000  # milliseconds by which a clock must go back to count as set anew
SHOWN = 200  # characters of what an attempt came to


class Caller:
    """One for the process. One call at a time to each URL, where they arrive in order; to several side by side.

    A webhook that fails rests for a while. While its receiver is down its calls keep their order, the oldest first;
    a call that is refused for what it tells is put off alone. One that does not answer holds up no other.
    """

    def __init__(self, store: Store, resolver: Resolver, settings: WebhookSettings, clock: Clock) -> None:
        self._store = store
        self._poster = Poster(resolver, timeout=settings.timeout, private=settings.private, ca_file=settings.ca_file)
        self._settings = settings
        self._clock = clock
        self._seen = 1 << 62  # the time when it was last read; at the start it may have been set back
        self._look = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._resting: dict[int, int] = {}  # webhooks that failed just now, and until when they are left alone
        self._under_way: dict[str, asyncio.Task[None]] = {}  # by URL
        self._busy: dict[str, set[int]] = {}  # the webhooks of such a URL
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what waits, and what is told from now on."""
        self._task = keep(self._run, "webhooks")

    async def stop(self) -> None:
        """Break off; what was not answered is called again at the next start."""
        tasks = [*([self._task] if self._task else []), *self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """Look soon: something is to be told."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SOON, self._look_now)

    def _look_now(self) -> None:
        self._soon = None
        self._look.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._look.wait()
            self._look.clear()
            try:
                while await self.take_up():
                    pass
            except Problem as problem:  # the store takes no writes: they are called again
                log.warning("webhooks wait", why=problem.detail)

    async def take_up(self) -> bool:
        """Begin the calls that are due, and remove old ones; tell whether more could begin."""
        now = self._clock()
        await self._bring_near(now)
        self._resting = {hook: until for hook, until in self._resting.items() if 0 < until - now <= FIRST}
        alone = {*self._resting, *(hook for hooks in self._busy.values() for hook in hooks)}
        due = every(eq("state", CallState.WAITING), Where("due", Op.LE, now))
        if alone:
            due = every(due, Not(Where("webhook_id", Op.IN, sorted(alone))))
        calls = await self._find(Query(where=due, sort="due", limit=CHUNK))
        self._begin(calls)
        await self._forget(now)
        return len(calls) == CHUNK and len(self._under_way) < AT_ONCE

    async def _bring_near(self, now: int) -> None:
        """Make due what waits longer than any honest wait, where the clock was set back (threat 86)."""
        seen, self._seen = self._seen, now
        far = every(eq("state", CallState.WAITING), Where("due", Op.GT, now + LONGEST))
        while now < seen - SET_BACK and (calls := await self._find(Query(where=far, limit=CHUNK))):
            await self._store.write(partial(_hasten, calls, now))

    async def idle(self) -> None:
        """Wait for the calls that were begun."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())

    def _begin(self, calls: Sequence[HookCall]) -> None:
        """Begin with as many URLs as there are places; webhooks of those that are under way are asked for no more."""
        by_url: dict[str, list[HookCall]] = defaultdict(list)
        for call in calls:
            hook = self._store.reader.get(Webhook, call.webhook_id)
            by_url[hook.url if hook else ""].append(call)
        free = [url for url in by_url if url not in self._under_way][: AT_ONCE - len(self._under_way)]
        for url, listed in by_url.items():
            if url in free:
                self._under_way[url] = task = asyncio.create_task(self._serve(listed))
                task.add_done_callback(partial(self._ended, url))
            if url in self._under_way:
                self._busy.setdefault(url, set()).update(call.webhook_id for call in listed)

    def _ended(self, url: str, task: asyncio.Task[None]) -> None:
        del self._under_way[url]
        hooks = self._busy.pop(url)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Problem):  # the store takes no writes: they are called again
            log.warning("webhooks wait", why=error.detail)
        elif error is not None:
            log.error("webhook failed inside", why=repr(error), exc_info=error)
        if error is not None:
            self._resting.update(dict.fromkeys(hooks, self._clock() + FIRST))
        self._look.set()

    async def _find(self, query: Query) -> list[HookCall]:
        page = await self._store.read(lambda reader: reader.find(HookCall, query))
        return page.items

    async def _serve(self, calls: Sequence[HookCall]) -> None:
        """Make the calls of one URL; after the first of a webhook that fails its others wait."""
        failed: set[int] = set()
        for call in calls:
            if call.webhook_id in failed:
                continue
            hook = self._store.reader.get(Webhook, call.webhook_id)
            try:
                if hook is None or not hook.active:
                    raise Refused("the webhook is gone or switched off")
                answer = await self._call(hook, call)
            except Refused as refusal:
                failed.add(call.webhook_id)
                await self._put_off(call, refusal, lasting=hook is None)
            else:
                await self._settle(call, state=CallState.DONE, last=answer, done_at=self._clock())

    async def _call(self, hook: Webhook, call: HookCall) -> str:
        secret = self._secret(hook)
        stamp = str(self._clock() // 1000)
        body = call.payload.encode()
        headers = {
            "Content-Type": "application/json",
            "X-Gatepost-Event": call.event.value,
            "X-Gatepost-Call": str(call.id),
            "X-Gatepost-Timestamp": stamp,
            "X-Gatepost-Signature": "sha256=" + signature(secret, stamp, body),
        }
        return await self._poster.post(hook.url, body, headers)

    def _secret(self, hook: Webhook) -> str:
        try:
            return self._store.secrets.unseal(hook.secret)
        except Unsealable as error:
            raise Refused("its secret was sealed with another key") from error

    async def _put_off(self, call: HookCall, refusal: Refused, *, lasting: bool) -> None:
        now = self._clock()
        why = str(refusal)[:SHOWN]
        over = lasting or now - call.created_at >= self._settings.life_hours * HOUR
        self._resting[call.webhook_id] = now + FIRST
        if over:
            await self._settle(call, state=CallState.FAILED, last=why, done_at=now)
        elif refusal.down:
            await self._settle(call, last=why)
        else:
            await self._settle(call, last=why, due=now + min(FIRST << min(call.attempts, 20), LONGEST))
        log.warning("webhook not called", webhook=call.webhook_id, why=why, given_up=over)

    async def _settle(self, call: HookCall, **members: object) -> None:
        await self._store.write(lambda writer: writer.change(HookCall, call.id, attempts=call.attempts + 1, **members))

    async def _forget(self, now: int) -> None:
        """Remove a slice of the calls whose term is over."""
        before = now - self._settings.keep_days * DAY
        over = Any((eq("state", CallState.DONE), eq("state", CallState.FAILED)))
        old = await self._find(Query(where=every(over, Where("done_at", Op.LT, before)), limit=CHUNK))
        if old:
            ids = [each.id for each in old]
            await self._store.write(lambda writer: writer.remove(HookCall, Where("id", Op.IN, ids)))


def _hasten(calls: Sequence[HookCall], now: int, writer: Writer) -> None:
    for call in calls:
        writer.change(HookCall, call.id, due=now, created_at=now)


def signature(secret: str, stamp: str, body: bytes) -> str:
    """Return the HMAC-SHA-256, hex, of the timestamp, a dot, and the body."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
