"""Calls webhooks: signed, in order, again while they don't answer; from a table that outlives the process."""

import asyncio
import hashlib
import hmac
import ssl
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import httpx2

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.events import Clock, keep, log
from gatepost.model.network import is_forbidden, is_public
from gatepost.model.problem import Problem
from gatepost.model.query import Any, Not, Op, Query, Where, eq, every
from gatepost.model.webhook import CallState, HookCall, Webhook
from gatepost.settings import Webhooks as WebhookSettings
from gatepost.store.secrets import Unsealable
from gatepost.store.store import Store

LOOK_AGAIN = 5.0  # seconds between two looks at the table
SOON = 0.2  # seconds until what was just told stands in the table
CHUNK = 100  # calls that are taken up at once, and removed at once
FIRST, LONGEST = 60_000, 6 * 3_600_000  # milliseconds between two attempts
DAY, HOUR = 86_400_000, 3_600_000
SHOWN = 200  # characters of what an attempt came to


class Refused(Exception):
    """A call was not taken; the text says why."""


class Caller:
    """One for the process. One call at a time to each webhook: they arrive in order.

    One that fails rests for a while, so that it holds up others for one call's time at most.
    """

    def __init__(self, store: Store, resolver: Resolver, settings: WebhookSettings, clock: Clock) -> None:
        self._store = store
        self._resolver = resolver
        self._settings = settings
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._told = asyncio.Event()
        self._resting: dict[int, int] = {}  # webhooks that failed just now, and until when they are left alone
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what waits, and what is told from now on."""
        self._task = keep(self._run(), "webhooks")

    async def stop(self) -> None:
        """Break off; what was not answered is called again at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """Look soon: something is to be told."""
        self._told.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._told.wait()
                    await asyncio.sleep(SOON)
            self._told.clear()
            try:
                while await self.round():
                    pass
            except Problem as problem:  # the store takes no writes: they are called again
                log.warning("webhooks wait", why=problem.detail)

    async def round(self) -> bool:
        """Make the calls that are due, and remove old ones; tell whether more are due."""
        now = self._clock()
        due = every(eq("state", CallState.WAITING), Where("due", Op.LE, now))
        self._resting = {hook: until for hook, until in self._resting.items() if 0 < until - now <= FIRST}
        if self._resting:
            due = every(due, Not(Where("webhook_id", Op.IN, list(self._resting))))
        calls = await self._find(Query(where=due, sort="due", limit=CHUNK))
        by_hook: dict[int, list[HookCall]] = defaultdict(list)
        for call in calls:
            by_hook[call.webhook_id].append(call)
        await asyncio.gather(*(self._serve(hook_id, hooked) for hook_id, hooked in by_hook.items()))
        await self._forget(now)
        return len(calls) == CHUNK

    async def _find(self, query: Query) -> list[HookCall]:
        page = await self._store.read(lambda reader: reader.find(HookCall, query))
        return page.items

    async def _serve(self, hook_id: int, calls: Sequence[HookCall]) -> None:
        """Call one webhook; after the first call that fails its others wait for the same moment."""
        hook = self._store.reader.get(Webhook, hook_id)
        for number, call in enumerate(calls):
            try:
                if hook is None or not hook.active:
                    raise Refused("the webhook is gone or switched off")
                answer = await self._call(hook, call)
            except Refused as refusal:
                await self._put_off(call, calls[number + 1 :], str(refusal)[:SHOWN], lasting=hook is None)
                return
            await self._settle(call, state=CallState.DONE, last=answer, done_at=self._clock())

    async def _call(self, hook: Webhook, call: HookCall) -> str:
        secret = self._secret(hook)
        url = urlsplit(hook.url)
        stamp = str(self._clock() // 1000)
        body = call.payload.encode()
        headers = {
            "Host": url.netloc.rpartition("@")[2],
            "Content-Type": "application/json",
            "User-Agent": "Gatepost",
            "X-Gatepost-Event": call.event.value,
            "X-Gatepost-Call": str(call.id),
            "X-Gatepost-Timestamp": stamp,
            "X-Gatepost-Signature": "sha256=" + signature(secret, stamp, body),
        }
        try:
            async with asyncio.timeout(self._settings.timeout):
                place = await self._place(url.hostname or "")
                target = f"{url.scheme}://{place}:{url.port or (443 if url.scheme == 'https' else 80)}"
                target += (url.path or "/") + (f"?{url.query}" if url.query else "")
                async with httpx2.AsyncClient(verify=await self._tls(), timeout=None, trust_env=False) as client:
                    asked = client.stream(
                        "POST", target, content=body, headers=headers, extensions={"sni_hostname": url.hostname or ""}
                    )
                    async with asked as answer:
                        status = answer.status_code
        except (Missing, DnsFailure, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Refused(str(error) or "no answer in time") from error
        if not 200 <= status < 300:
            raise Refused(f"it answers {status}")
        return str(status)

    def _secret(self, hook: Webhook) -> str:
        try:
            return self._store.secrets.unseal(hook.secret)
        except Unsealable as error:
            raise Refused("its secret was sealed with another key") from error

    async def _place(self, host: str) -> str:
        """One address of a host; never one of the own network unless that is allowed (threat 122)."""
        found = await self._resolver.addresses(host)
        allowed = [ip for ip in found if is_public(ip) or (self._settings.private and not is_forbidden(ip))]
        if not allowed:
            raise Refused(f"{host} has no public address")
        return f"[{allowed[0]}]" if ":" in allowed[0] else allowed[0]

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file or None)
        return self._context

    async def _put_off(self, call: HookCall, others: Sequence[HookCall], why: str, *, lasting: bool) -> None:
        now = self._clock()
        over = lasting or now - call.created_at >= self._settings.life_hours * HOUR
        self._resting[call.webhook_id] = now + FIRST
        due = now + min(FIRST << min(call.attempts, 20), LONGEST)
        if over:
            await self._settle(call, state=CallState.FAILED, last=why, done_at=now)
        else:
            await self._settle(call, state=CallState.WAITING, last=why, due=due)
        log.warning("webhook not called", webhook=call.webhook_id, why=why, given_up=over)
        ids = [other.id for other in others]
        await self._store.write(lambda writer: [writer.change(HookCall, each, due=due) for each in ids])

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


def signature(secret: str, stamp: str, body: bytes) -> str:
    """Return the HMAC-SHA-256, hex, of the timestamp, a dot, and the body."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
