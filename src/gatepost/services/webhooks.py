"""Webhooks of domains: kept by their administrators; the calls are shown, and made again when asked."""

import secrets
from functools import partial
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.network import is_public
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Page, Query, Where, eq, every
from gatepost.model.tenant import Domain
from gatepost.model.values import Id, Millis
from gatepost.model.webhook import CallState, HookCall, HookEvent, Webhook
from gatepost.services.access import found
from gatepost.services.records import Line, given, show, unprocessable
from gatepost.services.targets import Targets
from gatepost.store.store import Reader, Store, Writer
from gatepost.turns import shown

MANY = 20  # webhooks of one domain
SLICE = 200  # calls that are removed at once

Secret = Annotated[str, msgspec.Meta(min_length=16, max_length=200)]
Events = Annotated[list[HookEvent], msgspec.Meta(min_length=1, max_length=len(HookEvent))]


class WebhookAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A webhook to add; without `events` all are told, without `secret` one is made."""

    url: Line
    events: Events | None = None
    secret: Secret | None = None
    active: bool = True


class WebhookUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of a webhook."""

    url: Line | None = None
    events: Events | None = None
    secret: Secret | None = None
    active: bool | None = None


class WebhookView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A webhook; its secret is never shown again."""

    id: Id
    url: str
    events: list[HookEvent]
    active: bool
    created_at: Millis


class NewWebhook(WebhookView, frozen=True, kw_only=True, rename="camel"):
    """A webhook that was just made, with its secret."""

    secret: str


class CallView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One call: the JSON text that was or will be sent, and what the last attempt came to."""

    id: Id
    event: HookEvent
    payload: str
    state: CallState
    attempts: int
    last: str
    created_at: Millis
    due: Millis
    done_at: Millis | None


class Webhooks:
    """The counter for webhooks."""

    def __init__(self, store: Store, targets: Targets, clock: Clock, *, private: bool) -> None:
        """`private`: are private and loopback addresses called?"""
        self._store = store
        self._targets = targets
        self._private = private
        self._clock = clock

    async def find(self, caller: Caller, domain_id: int) -> list[WebhookView]:
        """Return a domain's webhooks."""
        self._require(caller, "OPTIONS_READ", domain_id)
        page = await self._store.read(lambda reader: reader.find(Webhook, Query(where=eq("domain_id", domain_id))))
        return [show(WebhookView, each) for each in page.items]

    async def create(self, caller: Caller, domain_id: int, draft: WebhookAdd) -> NewWebhook:
        """Add a webhook; raise MALFORMED or UNPROCESSABLE for a URL that can't be called, CONFLICT beyond 20."""
        self._require_telling(caller, "OPTIONS_WRITE", domain_id)
        self._check(caller, draft.url)
        secret = draft.secret or secrets.token_hex(32)
        row = Webhook(
            domain_id=domain_id,
            url=draft.url,
            events=sorted(set(draft.events or HookEvent)),
            secret=self._store.secrets.seal(secret),
            active=draft.active,
            created_at=self._clock(),
        )

        def add(writer: Writer) -> Webhook:
            if writer.count(Webhook, eq("domain_id", domain_id)) >= MANY:
                raise Problem(Kind.CONFLICT, f"A domain may have {MANY} webhooks.")
            return writer.add(row)

        return show(NewWebhook, await self._store.write(add), secret=secret)

    async def update(self, caller: Caller, domain_id: int, webhook_id: int, change: WebhookUpdate) -> None:
        """Change what is given."""
        self._require_telling(caller, "OPTIONS_WRITE", domain_id)
        fields = given(change)
        if change.url is not None:
            self._check(caller, change.url)
        if change.secret is not None:
            fields["secret"] = self._store.secrets.seal(change.secret)
        if change.events is not None:
            fields["events"] = sorted(set(change.events))

        def alter(writer: Writer) -> None:
            writer.change(Webhook, _get(writer, domain_id, webhook_id).id, **fields)

        await self._store.write(alter)

    async def delete(self, caller: Caller, domain_id: int, webhook_id: int) -> None:
        """Remove a webhook with its calls, these in slices, so that nobody waits for the writer (rules 17)."""
        self._require(caller, "OPTIONS_WRITE", domain_id)
        hook = _get(self._store.reader, domain_id, webhook_id)
        calls = Query(where=eq("webhook_id", hook.id), limit=SLICE)

        def drop(writer: Writer) -> bool:
            ids = [call.id for call in writer.find(HookCall, calls).items]
            writer.remove(HookCall, Where("id", Op.IN, ids))
            if len(ids) < SLICE:
                writer.remove(Webhook, eq("id", hook.id))
            return len(ids) < SLICE

        while not await self._store.write(drop):
            pass

    async def calls(self, caller: Caller, domain_id: int, webhook_id: int, query: Query) -> Page[CallView]:
        """Return a page of a webhook's calls."""
        self._require_telling(caller, "OPTIONS_READ", domain_id)
        hook = _get(self._store.reader, domain_id, webhook_id)
        asked = msgspec.structs.replace(query, where=every(eq("webhook_id", hook.id), query.where))
        page = await self._store.read(lambda reader: reader.find(HookCall, asked))
        return await shown(page, partial(show, CallView))

    async def replay(self, caller: Caller, domain_id: int, webhook_id: int, call_id: int) -> None:
        """Make a call again, whatever came of it; CONFLICT while it waits."""
        self._require(caller, "OPTIONS_WRITE", domain_id)

        def again(writer: Writer) -> None:
            hook = _get(writer, domain_id, webhook_id)
            call = writer.get(HookCall, call_id)
            if call is None or call.webhook_id != hook.id:
                raise Problem(Kind.NOT_FOUND, "There is no such call.")
            if call.state is CallState.WAITING:
                raise Problem(Kind.CONFLICT, "The call waits for its turn already.")
            now = self._clock()
            fresh = {"state": CallState.WAITING, "attempts": 0, "due": now, "created_at": now, "done_at": None}
            writer.change(HookCall, call.id, **fresh)

        await self._store.write(again)

    def _require(self, caller: Caller, permission: str, domain_id: int) -> None:
        found(caller, permission, self._store.reader.get(Domain, domain_id), "domain")

    def _require_telling(self, caller: Caller, permission: str, domain_id: int) -> None:
        """Ask for MAILS_READ, too: calls tell of mails, to whoever reads them and wherever they go."""
        self._require(caller, permission, domain_id)
        self._require(caller, "MAILS_READ", domain_id)

    def _check(self, caller: Caller, text: str) -> None:
        """Raise MALFORMED for what is no URL, UNPROCESSABLE for one into a network that is not the caller's."""
        if wrong := _wrong(text):
            raise Problem(Kind.MALFORMED, f"A webhook needs a URL that can be called: {wrong}.", pointer="/url")
        host = urlsplit(text).hostname or ""
        self._targets.host(caller, host, "/url")
        if not self._private and (host == "localhost" or (_is_address(host) and not is_public(host))):
            text = "Private and loopback addresses are not called: [webhooks] private does not allow it."
            raise unprocessable(text, "/url")


def _wrong(text: str) -> str:
    """Say what keeps a text from being the URL of a webhook; "" if nothing does."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return "its host or port can't be read"
    if not text.isascii() or " " in text:
        return "it has a blank or a letter beyond ASCII, which a URL holds encoded"
    if url.scheme not in ("http", "https"):
        return "it begins with neither https:// nor http://"
    if "@" in url.netloc:
        return "it names credentials"
    if not url.hostname:
        return "it names no host"
    return "its port is 0" if port == 0 else ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _get(reader: Reader, domain_id: int, webhook_id: int) -> Webhook:
    row = reader.get(Webhook, webhook_id)
    if row is None or row.domain_id != domain_id:
        raise Problem(Kind.NOT_FOUND, "There is no such webhook.")
    return row
