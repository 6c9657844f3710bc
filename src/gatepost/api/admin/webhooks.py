"""Webhooks of domains, and their calls (additions)."""

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.model.webhook import CallState, HookEvent
from gatepost.services.webhooks import CallView, NewWebhook, WebhookAdd, Webhooks, WebhookUpdate, WebhookView

CALLS = Listing(
    sort="-id",
    sorts=("id", "due", "createdAt", "state", "event"),
    filters={"state": word("state", CallState), "event": word("event", HookEvent)},
)
_ONE = "/domains/{domainId}/webhooks/{webhookId}"


@endpoint("GET", "/domains/{domainId}/webhooks", permission="OPTIONS_READ", addition=True)
async def list_webhooks(webhooks: Webhooks, caller: Caller, domain_id: Id) -> list[WebhookView]:
    """List the webhooks of a domain."""
    return await webhooks.find(caller, domain_id)


@endpoint(
    "POST",
    "/domains/{domainId}/webhooks",
    permission="OPTIONS_WRITE",
    location="/domains/{domainId}/webhooks/{id}",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
    addition=True,
)
async def create_webhook(webhooks: Webhooks, caller: Caller, domain_id: Id, body: WebhookAdd) -> NewWebhook:
    """Have a URL called when something befalls a domain's mail; the answer shows the secret for the only time."""
    return await webhooks.create(caller, domain_id, body)


@endpoint("PATCH", _ONE, permission="OPTIONS_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True)
async def update_webhook(
    webhooks: Webhooks, caller: Caller, domain_id: Id, webhook_id: Id, body: WebhookUpdate
) -> None:
    """Change the given members of a webhook."""
    await webhooks.update(caller, domain_id, webhook_id, body)


@endpoint("DELETE", _ONE, permission="OPTIONS_WRITE", addition=True)
async def delete_webhook(webhooks: Webhooks, caller: Caller, domain_id: Id, webhook_id: Id) -> None:
    """Delete a webhook with its calls."""
    await webhooks.delete(caller, domain_id, webhook_id)


@endpoint("GET", f"{_ONE}/calls", permission="OPTIONS_READ", listing=CALLS, addition=True)
async def list_webhook_calls(
    webhooks: Webhooks, caller: Caller, domain_id: Id, webhook_id: Id, query: Query
) -> Page[CallView]:
    """List a webhook's calls, the newest first, with what came of each."""
    return await webhooks.calls(caller, domain_id, webhook_id, query)


@endpoint(
    "POST",
    f"{_ONE}/calls/{{callId}}/replay",
    permission="OPTIONS_WRITE",
    problems=(Kind.CONFLICT,),
    addition=True,
)
async def replay_webhook_call(webhooks: Webhooks, caller: Caller, domain_id: Id, webhook_id: Id, call_id: Id) -> None:
    """Make a call again."""
    await webhooks.replay(caller, domain_id, webhook_id, call_id)
