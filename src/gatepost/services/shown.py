"""What callers see of domains and accounts: rows gathered for a whole page at once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from gatepost.model.policy import Policy
from gatepost.model.query import All, Condition, Op, Query, Where
from gatepost.model.query import Any as AnyOf
from gatepost.model.route import Platform
from gatepost.model.tenant import (
    Customer,
    Domain,
    DomainAlias,
    DomainStatus,
    Language,
    Priority,
    Provider,
    User,
    UserStatus,
)
from gatepost.model.values import Id, Millis
from gatepost.services.platforms import Platforms, PlatformView, default_of
from gatepost.services.policies import PolicyView
from gatepost.services.records import show
from gatepost.services.tenants import CustomerView, ProviderView
from gatepost.store.store import Reader

T = TypeVar("T")

FEW = 2  # rows that are looked up one by one
REMEMBERED = 2_000  # domains, and accounts, that were asked for one by one, and their homes: some 15 MB


class AliasView(msgspec.Struct, kw_only=True, rename="camel"):
    """A further name of a domain."""

    id: Id
    name: str


class DomainView(msgspec.Struct, kw_only=True, rename="camel"):
    """A domain with all that belongs to it."""

    id: Id
    name: str
    description: str | None
    status: DomainStatus
    wblist_priority: Priority
    default_language: Language
    auto_provisioning_on: bool
    sender_verify_on: bool
    external_id: str | None
    policy: PolicyView | None
    domain_aliases: list[AliasView]
    active_users_count: int
    policies_count: int
    quarantine: bool
    retention: bool
    archive: bool
    incoming: bool
    outgoing_subnets: list[str]
    creation_date: Millis
    deletion_date: Millis | None
    purge_date: Millis | None
    outgoing_providers: list[ProviderView]
    customer: CustomerView | None
    platforms: list[PlatformView]


class UserItem(msgspec.Struct, kw_only=True, rename="camel"):
    """An account as lists show it."""

    id: Id
    email: str
    firstname: str | None
    lastname: str | None
    status: UserStatus
    language: Language
    creation_date: Millis
    domain_id: Id
    policy: PolicyView | None
    sender_verify_on: bool
    domain_policy_id: Id | None
    domain_status: DomainStatus | None
    domain_platform_id: Id | None
    platform: PlatformView | None


class UserView(UserItem, kw_only=True, rename="camel"):
    """An account as it is shown alone."""

    mfa_type: str | None
    last_connection_date: Millis | None


U = TypeVar("U", bound=UserItem)


def show_domains(reader: Reader, platforms: Platforms, domains: Sequence[Domain]) -> list[DomainView]:
    """Return what callers see of domains."""
    ids = [domain.id for domain in domains]
    policies = _grouped(reader, Policy, "domain_id", ids)
    aliases = _grouped(reader, DomainAlias, "domain_id", ids, sort="name")
    stations = _grouped(reader, Platform, "domain_id", ids)
    customers = _by_id(reader, Customer, {domain.customer_id for domain in domains})
    providers = _by_id(reader, Provider, {each for domain in domains for each in domain.outgoing_provider_ids})
    active = reader.active_users(ids)
    return [
        _domain(
            domain,
            policies[domain.id],
            active=active.get(domain.id, 0),
            domain_aliases=[show(AliasView, alias) for alias in aliases[domain.id]],
            outgoing_providers=[
                show(ProviderView, providers[each]) for each in domain.outgoing_provider_ids if each in providers
            ],
            customer=show(CustomerView, customers[domain.customer_id]) if domain.customer_id in customers else None,
            platforms=[platforms.view(platform) for platform in stations[domain.id]],
        )
        for domain in reader.paced(domains)
    ]


def _domain(domain: Domain, policies: Sequence[Policy], *, active: int, **more: object) -> DomainView:
    default = next((policy for policy in policies if policy.id == domain.policy_id), None)
    return show(
        DomainView,
        domain,
        policy=show(PolicyView, default) if default else None,
        active_users_count=active,
        policies_count=len(policies),
        quarantine=any(policy.quarantine for policy in policies),
        retention=any(policy.retention for policy in policies),
        archive=any(policy.archive for policy in policies),
        incoming=any(policy.incoming for policy in policies),
        **more,
    )


class Home(NamedTuple):
    """What the accounts of a domain have in common; its platforms and policies as they are shown."""

    domain: Domain
    default: Platform | None
    platforms: dict[int, PlatformView]
    policies: dict[int, PolicyView]


def read_homes(reader: Reader, platforms: Platforms, domain_ids: Collection[int]) -> dict[int, Home]:
    """Return what the accounts of each domain have in common."""
    stations = _grouped(reader, Platform, "domain_id", domain_ids)
    policies = _grouped(reader, Policy, "domain_id", domain_ids)
    return {
        domain.id: Home(
            domain,
            default_of(stations[domain.id]),
            {each.id: platforms.view(each) for each in stations[domain.id]},
            {each.id: show(PolicyView, each) for each in policies[domain.id]},
        )
        for domain in _by_id(reader, Domain, domain_ids).values()
    }


def show_users(reader: Reader, platforms: Platforms, users: Sequence[User], kind: type[U]) -> list[U]:
    """Return what callers see of accounts: each with the policy and the platform that hold for it."""
    homes = read_homes(reader, platforms, {user.domain_id for user in users})
    return [show_user(user, homes.get(user.domain_id), kind) for user in reader.paced(users)]


def show_user(user: User, home: Home | None, kind: type[U]) -> U:
    """Return what callers see of an account of a domain."""
    if home is None:
        nothing = dict.fromkeys(("policy", "domain_policy_id", "domain_status", "domain_platform_id", "platform"))
        return show(kind, user, **nothing)
    default = home.default.id if home.default else None
    return show(
        kind,
        user,
        policy=home.policies.get(user.policy_id or home.domain.policy_id),
        domain_policy_id=home.domain.policy_id,
        domain_status=home.domain.status,
        domain_platform_id=default,
        platform=home.platforms.get(user.platform_id or 0) or home.platforms.get(default or 0),
    )


def _grouped(
    reader: Reader, kind: type[T], field: str, ids: Collection[int], sort: str = "id"
) -> defaultdict[int, list[T]]:
    groups: defaultdict[int, list[T]] = defaultdict(list)
    for item in reader.find(kind, Query(where=Where(field, Op.IN, list(ids)), sort=sort)).items:
        groups[getattr(item, field)].append(item)
    return groups


def _by_id(reader: Reader, kind: type[T], ids: Iterable[int]) -> dict[int, T]:
    wanted = list(ids)
    found = (
        [row for each in wanted if (row := reader.get(kind, each)) is not None]
        if len(wanted) <= FEW
        else reader.find(kind, Query(where=Where("id", Op.IN, wanted))).items
    )
    return {item.id: item for item in found}  # type: ignore[attr-defined]


def narrow_domains(reader: Reader, where: Condition) -> Condition:
    """Turn a condition on a domain's platforms into one on the domain itself."""
    if isinstance(where, Where) and where.field in ("platform_id", "platform_name"):
        return Where("id", Op.IN, sorted({platform.domain_id for platform in _platforms(reader, where)}))
    return where


def narrow_users(reader: Reader, where: Condition) -> Condition:
    """Turn a condition on an account's platform into one on the account: its own one, or its domain's default one."""
    if isinstance(where, All):
        return All(tuple(narrow_users(reader, part) for part in where.of))
    if not (isinstance(where, Where) and where.field == "platform_name"):
        return where
    named = _platforms(reader, where)
    by_domain = _grouped(reader, Platform, "domain_id", {platform.domain_id for platform in named})
    ids = {platform.id for platform in named}
    domains = [each for each, stations in by_domain.items() if (default := default_of(stations)) and default.id in ids]
    return AnyOf(
        (
            Where("platform_id", Op.IN, sorted(ids)),
            All((Where("platform_id", Op.NULL), Where("domain_id", Op.IN, domains))),
        )
    )


def _platforms(reader: Reader, where: Where) -> list[Platform]:
    field = where.field.removeprefix("platform_")
    return reader.find(Platform, Query(where=Where(field, where.op, where.value))).items
