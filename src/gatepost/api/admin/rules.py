"""Sender rules, all owners alike: /wblist, a domain's, a mailbox's (contract 5.9)."""

import asyncio
from collections.abc import Iterable
from typing import cast

import msgspec
from starlette.responses import Response

from gatepost.api.endpoint import Call, endpoint
from gatepost.api.listing import Listing, address, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.values import Id, Millis
from gatepost.services.records import Text
from gatepost.services.rules import Entry, Place, SenderRules
from gatepost.turns import shown

LARGEST_LIST = 32_000_000  # octets; some 200,000 rules
_MANY = 1000  # rules that are encoded on the event loop; longer lists in a thread

_SORTS = ("id", "owner", "value", "type", "createdDate", "expireAt", "description", "spfOn")
_FILTERS = {"type": word("type", SenderType), "value": address("value")}
OF_DOMAIN = Listing(sort="owner", sorts=_SORTS, filters=_FILTERS)
OF_USER = Listing(sort="id", sorts=_SORTS, filters=_FILTERS)


class FilterSenderAdd(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A sender rule to add; `spfOn` is required with ALLOW and ignored otherwise."""

    value: str
    type: SenderType
    expire_at: Millis | None = None
    description: Text | None = None
    spf_on: bool | None = None


class FilterSenderItem(FilterSenderAdd, frozen=True, kw_only=True, rename="camel", gc=False):
    """A sender rule to add to the owner that it names: a domain or a mailbox address."""

    owner: str


class FilterSender(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A sender rule."""

    id: Id
    value: str
    owner: str
    type: SenderType
    created_date: Millis
    expire_at: Millis | None
    description: str | None
    spf_on: bool | None


@endpoint("POST", "/wblist", permission="RULES_WRITE", problems=(Kind.CONFLICT, Kind.UNPROCESSABLE))
async def add_sender_rules(rules: SenderRules, caller: Caller, body: list[FilterSenderItem]) -> list[FilterSender]:
    """Add sender rules for any owners; all of them or none, at most 1,000 at once."""
    return _views(await rules.add_any(caller, [_entry(each, each.owner) for each in body]))


@endpoint(
    "POST",
    "/domains/{domainId}/wblist",
    permission="RULES_WRITE",
    location="/domains/{domainId}/wblist",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def add_domain_sender_rules(
    rules: SenderRules, caller: Caller, domain_id: Id, body: list[FilterSenderAdd]
) -> list[FilterSender]:
    """Add sender rules to a domain; all of them or none, at most 1,000 at once."""
    return _views(await rules.add(caller, Place(domain_id=domain_id), [_entry(each) for each in body]))


@endpoint(
    "POST",
    "/users/{userId}/wblist",
    permission="RULES_WRITE",
    location="/users/{userId}/wblist",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def add_user_sender_rules(
    rules: SenderRules, caller: Caller, user_id: Id, body: list[FilterSenderAdd]
) -> list[FilterSender]:
    """Add sender rules to a mailbox; all of them or none, at most 1,000 at once."""
    return _views(await rules.add(caller, Place(user_id=user_id), [_entry(each) for each in body]))


@endpoint("GET", "/domains/{domainId}/wblist", permission="RULES_READ", listing=OF_DOMAIN, exports=True)
async def list_domain_sender_rules(
    rules: SenderRules, caller: Caller, domain_id: Id, listed: Query
) -> Page[FilterSender]:
    """List a domain's sender rules."""
    return await shown(await rules.find(caller, Place(domain_id=domain_id), listed), _view)


@endpoint("GET", "/users/{userId}/wblist", permission="RULES_READ", listing=OF_USER, exports=True)
async def list_user_sender_rules(rules: SenderRules, caller: Caller, user_id: Id, listed: Query) -> Page[FilterSender]:
    """List a mailbox's sender rules."""
    return await shown(await rules.find(caller, Place(user_id=user_id), listed), _view)


@endpoint(
    "PUT",
    "/domains/{domainId}/wblist",
    permission="RULES_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
    max_body=LARGEST_LIST,
)
async def replace_domain_sender_rules(
    rules: SenderRules, caller: Caller, call: Call, domain_id: Id, body: list[FilterSenderAdd]
) -> list[FilterSender]:
    """Replace all sender rules of a domain at once."""
    kept = await rules.replace(caller, Place(domain_id=domain_id), [_entry(each) for each in body])
    return await _encoded(call, kept)


@endpoint(
    "PUT",
    "/users/{userId}/wblist",
    permission="RULES_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
    max_body=LARGEST_LIST,
)
async def replace_user_sender_rules(
    rules: SenderRules, caller: Caller, call: Call, user_id: Id, body: list[FilterSenderAdd]
) -> list[FilterSender]:
    """Replace all sender rules of a mailbox at once."""
    kept = await rules.replace(caller, Place(user_id=user_id), [_entry(each) for each in body])
    return await _encoded(call, kept)


@endpoint(
    "PUT",
    "/domains/{domainId}/wblist/{wbItemId}",
    permission="RULES_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def update_domain_sender_rule(
    rules: SenderRules, caller: Caller, domain_id: Id, wb_item_id: Id, body: FilterSenderAdd
) -> FilterSender:
    """Replace one rule of a domain; it keeps its id."""
    return _view(await rules.change(caller, Place(domain_id=domain_id), wb_item_id, _entry(body)))


@endpoint(
    "PUT",
    "/users/{userId}/wblist/{wbItemId}",
    permission="RULES_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def update_user_sender_rule(
    rules: SenderRules, caller: Caller, user_id: Id, wb_item_id: Id, body: FilterSenderAdd
) -> FilterSender:
    """Replace one rule of a mailbox; it keeps its id."""
    return _view(await rules.change(caller, Place(user_id=user_id), wb_item_id, _entry(body)))


@endpoint("DELETE", "/domains/{domainId}/wblist/{wbItemId}", permission="RULES_WRITE")
async def delete_domain_sender_rule(rules: SenderRules, caller: Caller, domain_id: Id, wb_item_id: Id) -> None:
    """Delete one rule of a domain."""
    await rules.remove(caller, Place(domain_id=domain_id), wb_item_id)


@endpoint("DELETE", "/users/{userId}/wblist/{wbItemId}", permission="RULES_WRITE")
async def delete_user_sender_rule(rules: SenderRules, caller: Caller, user_id: Id, wb_item_id: Id) -> None:
    """Delete one rule of a mailbox."""
    await rules.remove(caller, Place(user_id=user_id), wb_item_id)


def _entry(asked: FilterSenderAdd, owner: str | None = None) -> Entry:
    return Entry(
        value=asked.value,
        type=asked.type,
        owner=owner,
        expire_at=None if asked.expire_at is None else int(asked.expire_at),
        description=asked.description,
        spf_on=asked.spf_on,
    )


def _view(rule: SenderRule) -> FilterSender:
    return FilterSender(
        id=Id(rule.id),
        value=rule.value,
        owner=rule.owner,
        type=rule.type,
        created_date=Millis(rule.created_date),
        expire_at=None if rule.expire_at is None else Millis(rule.expire_at),
        description=rule.description,
        spf_on=rule.spf_on,
    )


def _views(rules: Iterable[SenderRule]) -> list[FilterSender]:
    return [_view(rule) for rule in rules]


async def _encoded(call: Call, rules: list[SenderRule]) -> list[FilterSender]:
    """The views of the rules; of very many the finished answer, made in a thread so that no mail waits for it."""
    if len(rules) <= _MANY:
        return _views(rules)
    data = await asyncio.to_thread(lambda: call.desk.encoder.encode(_views(rules)))
    return cast(list[FilterSender], Response(data, media_type="application/json"))
