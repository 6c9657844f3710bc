"""Domains: made with a default policy, changed in part, deleted softly, restored."""

from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.policy import Policy, default_policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Page, Query, Where, eq, every
from gatepost.model.rules import SenderRule
from gatepost.model.stored import Delivery, State
from gatepost.model.tenant import Domain, DomainStatus, Group, Language, Priority, User
from gatepost.model.values import Id
from gatepost.services.access import found, require_lasting, require_sysadmin, visible
from gatepost.services.mx import MxCheck
from gatepost.services.platforms import PlatformPart, Platforms
from gatepost.services.policies import PolicyPatch, changed, save
from gatepost.services.records import Line, Name, Text, emptied, given, read_domain, unprocessable
from gatepost.services.rules import Owner, check_forgotten, forget_superseded
from gatepost.services.shown import REMEMBERED, DomainView, narrow_domains, show_domains
from gatepost.services.subnets import check_subnets, read_subnets
from gatepost.services.tenants import check_quota, customer_for, provider_ids
from gatepost.store.remembered import Remembered
from gatepost.store.store import Reader, Store, Writer

DAY = 86_400_000


class NewStatus(StrEnum):
    """The states that a domain can be made in (contract A5)."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


class NextStatus(StrEnum):
    """The states that a domain can be given; DELETED comes by deletion only."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    PENDING = "PENDING"


class DomainAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A new domain. The service flags shape its default policy."""

    name: Name
    description: Text | None = None
    status: NewStatus
    wblist_priority: Priority | None = None
    incoming: bool | None = None
    outgoing: bool | None = None
    quarantine: bool
    retention: bool
    archive: bool
    default_language: Language
    auto_provisioning_on: bool | None = None
    sender_verify_on: bool | None = None
    customer_id: Id | None = None
    external_id: Line | None = None
    outgoing_subnets: list[str] | None = None
    outgoing_providers_ids: list[Id] | None = None
    platforms: list[PlatformPart] | None = None


class DomainUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of what a domain can be given.

    A service flag set to true turns the service on in the default policy, unless another policy has it; set to false
    it turns it off in every policy of the domain.
    """

    name: Name | None = None
    description: Text | None = None
    status: NextStatus | None = None
    wblist_priority: Priority | None = None
    quarantine: bool | None = None
    retention: bool | None = None
    archive: bool | None = None
    default_language: Language | None = None
    auto_provisioning_on: bool | None = None
    sender_verify_on: bool | None = None
    customer_id: Id | None = None
    policy_id: Id | None = None
    external_id: Line | None = None
    outgoing_subnets: list[str] | None = None
    outgoing_providers_ids: list[Id] | None = None
    platforms: list[PlatformPart] | None = None


class Domains:
    """The served domains."""

    def __init__(self, store: Store, platforms: Platforms, mx: MxCheck, *, purge_days: int, clock: Clock) -> None:
        self._store = store
        self._platforms = platforms
        self._mx = mx
        self._term = purge_days * DAY
        self._clock = clock
        memory = Remembered(store, most=REMEMBERED, exact=True)
        self._known = memory.known
        self._shown: dict[int, tuple[Domain, DomainView] | None] = memory.cache()

    async def find(self, caller: Caller, query: Query) -> Page[DomainView]:
        """Return a page of the domains that the caller may see; the others are left out."""

        def ask(reader: Reader) -> Page[DomainView]:
            where = every(visible(caller, "DOMAINS_READ", "id"), narrow_domains(reader, query.where))
            page = reader.find(Domain, msgspec.structs.replace(query, where=where))
            return Page(show_domains(reader, self._platforms, page.items), page.total)

        return await self._store.read(ask)

    async def get(self, caller: Caller, domain_id: int) -> DomainView:
        """Return a domain."""
        domain, view = self._known(self._shown, domain_id, lambda: self._show(domain_id)) or (None, None)
        found(caller, "DOMAINS_READ", domain, "domain")
        assert view is not None
        return view

    def _show(self, domain_id: int) -> tuple[Domain, DomainView] | None:
        reader = self._store.reader  # a few look-ups by key: quicker than to have a thread ask
        domain = reader.get(Domain, domain_id)
        return (domain, show_domains(reader, self._platforms, [domain])[0]) if domain else None

    async def create(self, caller: Caller, draft: DomainAdd) -> DomainView:
        """Make a domain with its default policy and its platforms; raise CONFLICT for a name in use."""
        require_sysadmin(caller)
        name = read_domain(draft.name, "/name")
        return await self._store.write(lambda writer: self._create(writer, caller, name, draft))

    def _create(self, writer: Writer, caller: Caller, name: str, draft: DomainAdd) -> DomainView:
        customer = customer_for(writer, draft.customer_id)
        check_quota(writer, customer)
        free_name(writer, name, "/name")
        domain = writer.add(
            Domain(
                customer_id=customer.id,
                name=name,
                description=emptied(draft.description),
                status=DomainStatus(draft.status.value),
                wblist_priority=draft.wblist_priority or Priority.USER,
                default_language=draft.default_language,
                auto_provisioning_on=bool(draft.auto_provisioning_on),
                sender_verify_on=draft.sender_verify_on is not False,
                external_id=emptied(draft.external_id),
                outgoing_subnets=_subnets(writer, caller, customer.id, draft.outgoing_subnets or []),
                outgoing_provider_ids=provider_ids(writer, draft.outgoing_providers_ids or []),
                creation_date=self._clock(),
            )
        )
        policy = writer.add(_first_policy(domain, draft))
        self._platforms.replace(writer, caller, domain.id, draft.platforms or [])
        made = writer.change(Domain, domain.id, policy_id=policy.id)
        assert made
        return show_domains(writer, self._platforms, [made])[0]

    async def update(self, caller: Caller, domain_id: int, change: DomainUpdate, *, ignore_mx: bool = False) -> None:
        """Change what is given. A deleted domain takes changes only together with status ENABLED, which restores it."""
        domain = found(caller, "DOMAINS_WRITE", self._store.reader.get(Domain, domain_id), "domain")
        name = read_domain(change.name, "/name") if change.name is not None else None
        if not ignore_mx and _starts(self._store.reader, domain, change):
            await self._mx.arriving(name or domain.name)
        seen = 0
        if name is not None and name != domain.name:
            await self._mx.claimed(caller, {name: "/name"})
            # Beside the mail: a long queue takes longer to look through than a write may.
            await forget_superseded(self._store, Owner(domain))
            seen = await self._store.read(partial(_check_nothing_under_way, domain.id))
        await self._store.write(lambda writer: self._update(writer, caller, domain_id, name, seen, change))

    def _update(
        self, writer: Writer, caller: Caller, domain_id: int, name: str | None, seen: int, change: DomainUpdate
    ) -> None:
        """`seen`: what `_check_nothing_under_way` returned before."""
        domain = found(caller, "DOMAINS_WRITE", writer.get(Domain, domain_id), "domain")
        fields = given(change, "default_language", "wblist_priority", "auto_provisioning_on", "sender_verify_on")
        fields |= {key: emptied(value) for key, value in given(change, "description", "external_id").items()}
        fields |= _status(caller, domain, change.status, self._clock())
        fields |= _references(writer, caller, domain, change)
        if name is not None and name != domain.name:
            _check_rename(writer, domain, name)
            _check_nothing_under_way(domain.id, writer, seen)
            fields["name"] = name
        writer.change(Domain, domain.id, **fields)
        _switch(writer, caller, fields.get("policy_id", domain.policy_id), domain.id, change)
        if change.platforms is not None:
            self._platforms.replace(writer, caller, domain.id, change.platforms)

    async def delete(self, caller: Caller, domain_id: int, *, ignore_mx: bool = False) -> None:
        """Flag a domain as deleted and set the day of its purge; once deleted, that day stays."""
        require_sysadmin(caller)
        domain = found(caller, "DOMAINS_WRITE", self._store.reader.get(Domain, domain_id), "domain")
        if domain.status is DomainStatus.DELETED:
            return
        if not ignore_mx:
            await self._mx.leaving(domain.name)
        now = self._clock()
        fields = {"status": DomainStatus.DELETED, "deletion_date": now, "purge_date": now + self._term}
        await self._store.write(lambda writer: writer.change(Domain, domain_id, **fields))


def free_name(reader: Reader, name: str, at: str) -> None:
    """Raise CONFLICT for a name that a domain (one deleted and not yet purged, too) or an alias has."""
    if reader.domain(name) is not None:
        raise Problem(Kind.CONFLICT, "The name is taken by a domain or an alias.", pointer=at)


def _first_policy(domain: Domain, draft: DomainAdd) -> Policy:
    return default_policy(
        domain.id,
        domain.name,
        quarantine=draft.quarantine,
        retention=draft.retention,
        archive=draft.archive,
        incoming=draft.incoming is not False,
        outgoing=bool(draft.outgoing),
    )


def _subnets(reader: Reader, caller: Caller, customer_id: int, texts: list[str]) -> list[str]:
    networks = read_subnets(texts)
    check_subnets(reader, caller, customer_id, networks)
    return [str(network) for network in networks]


def _starts(reader: Reader, domain: Domain, change: DomainUpdate) -> bool:
    """Tell whether a change starts the incoming service."""
    if change.status is not NextStatus.ENABLED or domain.status is DomainStatus.ENABLED:
        return False
    return reader.first(Policy, every(eq("domain_id", domain.id), eq("incoming", True))) is not None


def _status(caller: Caller, domain: Domain, status: NextStatus | None, now: int) -> dict[str, Any]:
    """Return what a change of the state sets; restoring is a sysadmin's, as deleting is (contract A60).

    Once the day of its purge has come a domain is being erased, slice by slice, and nothing brings it back.
    """
    if status is NextStatus.ENABLED and domain.status is not DomainStatus.ENABLED:
        require_lasting(caller)  # its accounts sign in again
    if domain.status is not DomainStatus.DELETED:
        return {} if status is None else {"status": DomainStatus(status.value)}
    require_sysadmin(caller)
    if status is not NextStatus.ENABLED:
        raise unprocessable("The domain is deleted; status ENABLED restores it.", "/status")
    if domain.purge_date is not None and domain.purge_date <= now:
        raise unprocessable("The domain is being erased.", "/status")
    return {"status": DomainStatus.ENABLED, "deletion_date": None, "purge_date": None}


def _references(writer: Writer, caller: Caller, domain: Domain, change: DomainUpdate) -> dict[str, Any]:
    """Return what a change points the domain to; raise UNPROCESSABLE for what is not there."""
    fields: dict[str, Any] = {}
    if change.customer_id is not None and change.customer_id != domain.customer_id:
        require_sysadmin(caller)
        customer = customer_for(writer, change.customer_id)
        check_quota(writer, customer)
        fields["customer_id"] = customer.id
    if change.policy_id is not None:
        policy = writer.get(Policy, change.policy_id)
        if policy is None or policy.domain_id != domain.id:
            raise unprocessable("The domain has no such policy.", "/policyId")
        fields["policy_id"] = policy.id
    if change.outgoing_subnets is not None:
        customer_id = fields.get("customer_id", domain.customer_id)
        fields["outgoing_subnets"] = _subnets(writer, caller, customer_id, change.outgoing_subnets)
    if change.outgoing_providers_ids is not None:
        fields["outgoing_provider_ids"] = provider_ids(writer, change.outgoing_providers_ids)
    return fields


def _check_rename(reader: Reader, domain: Domain, name: str) -> None:
    """Raise CONFLICT for a name in use, UNPROCESSABLE while anything bears the old one.

    Mail that is kept under it would be found no longer, but by whoever is given that name next.
    """
    mine = eq("domain_id", domain.id)
    free_name(reader, name, "/name")
    check_forgotten(reader, Owner(domain))
    own = every(eq("owner", domain.name), eq("generation", domain.sender_generation))
    if reader.first(User, mine) or reader.first(Group, mine) or reader.first(SenderRule, own):
        raise unprocessable("Accounts, groups or sender rules bear the old name; add the new one as an alias.", "/name")
    if reader.keeps_mail(domain.id):
        raise unprocessable("Mail is kept under the old name; add the new one as an alias.", "/name")


def _check_nothing_under_way(domain_id: int, reader: Reader, seen: int = 0) -> int:
    """Raise UNPROCESSABLE while mail is under way: what no server takes would be kept under the old name.

    Returns the newest delivery; the next look begins behind it (`seen`), for none that is done goes on its way again.
    """
    newest = reader.find(Delivery, Query(sort="-id", limit=1)).items
    live = every(Where("state", Op.IN, (State.QUEUED, State.HELD)), Where("id", Op.GT, seen))
    if reader.first(Delivery, every(eq("domain_id", domain_id), live)):
        raise unprocessable("Mail is on its way under the old name; add the new one as an alias.", "/name")
    return newest[0].id if newest else 0


def _switch(writer: Writer, caller: Caller, default_id: int, domain_id: int, change: DomainUpdate) -> None:
    """Turn services on or off in the domain's policies, which sysadmins alone change (semantics 1)."""
    wanted = given(change, "quarantine", "retention", "archive")
    if not wanted:
        return
    policies = writer.find(Policy, Query(where=eq("domain_id", domain_id))).items
    missing = {name for name, on in wanted.items() if on and not any(getattr(each, name) for each in policies)}
    for policy in policies:
        turned: dict[str, Any] = {name: False for name, on in wanted.items() if not on and getattr(policy, name)}
        turned |= {name: True for name in missing if policy.id == default_id}
        if turned:
            require_sysadmin(caller)
            save(writer, changed(policy, PolicyPatch(**turned)))
