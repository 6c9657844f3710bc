"""Who changed what (an addition)."""

from typing import Any

import msgspec

from gatepost.api.endpoint import endpoint
from gatepost.api.ids import Ids
from gatepost.api.listing import Listing, camel, ident, text
from gatepost.model.access import Caller
from gatepost.model.audit import Audit
from gatepost.model.query import All, Condition, Op, Page, Query, Where, every
from gatepost.model.values import Id, Millis
from gatepost.services.audit import Audits
from gatepost.services.records import show
from gatepost.turns import shown


def _object(value: str, ids: Ids) -> Where:
    """A filter on an object by its id; mails have the ids of their own."""
    number = ids.read(value)
    return Where("object_id", Op.EQ, str(int(number)) if number > 0 else value)


AUDIT = Listing(
    sort="-id",
    sorts=("id", "at", "login", "act", "kind", "name"),
    filters={
        "login": text("login"),
        "act": text("act"),
        "kind": text("kind"),
        "objectId": _object,
        "name": text("name"),
        "domainId": ident("domain_id"),
        "customerId": ident("customer_id"),
        "ip": text("ip"),
        "requestId": text("request_id"),
    },
)


class AuditAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which time, `since` included and `until` not; what stands behind the entry `after`. They go with any filter."""

    since: Millis | None = None
    until: Millis | None = None
    after: Id | None = None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One act: who did what to which object, from where, and why. Names are those of that time.

    `act` is add, change, remove or another verb; `before` and `after` hold what differs, secrets masked. Where many
    objects were changed at once `objectId` is null and they hold `count` and `items`; a mail is named by `mailId`.
    """

    id: Id
    at: Millis
    login: str
    admin_id: Id | None
    user_id: Id | None
    token_id: Id | None
    maker: str | None
    ip: str
    request_id: str
    reason: str | None
    act: str
    kind: str
    object_id: Id | None
    mail_id: str | None
    name: str
    broker_id: Id | None
    customer_id: Id | None
    domain_id: Id | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@endpoint("GET", "/audit", permission="AUDIT_READ", listing=AUDIT, addition=True)
async def list_audit(audits: Audits, caller: Caller, query: AuditAsk, listed: Query) -> Page[AuditEntry]:
    """List what was changed, the newest first; continue by `after` (the last id seen) in long lists."""
    asked = msgspec.structs.replace(listed, where=every(listed.where, *_time(query)))
    page = await audits.find(caller, asked, after=query.after)
    return await shown(page, _entry)


def _time(query: AuditAsk) -> list[Condition]:
    since = Where("at", Op.GE, int(query.since)) if query.since is not None else All(())
    until = Where("at", Op.LT, int(query.until)) if query.until is not None else All(())
    return [since, until]


def _entry(audit: Audit) -> AuditEntry:
    mail = audit.kind == "mail"
    return show(
        AuditEntry,
        audit,
        object_id=Id(audit.object_id) if audit.object_id and not mail else None,
        mail_id=audit.object_id if mail else None,
        before=_members(audit.before),
        after=_members(audit.after),
    )


def _members(value: Any, name: str = "") -> Any:
    """Name members as the API does, and show ids as it shows them."""
    if isinstance(value, dict):
        return {camel(key): _members(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_members(each, name.removesuffix("s")) for each in value]
    return Id(value) if isinstance(value, int) and (name == "id" or name.endswith("_id")) else value
