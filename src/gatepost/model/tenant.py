"""The tree of tenants: broker > customer > domain > user, with a domain's other names and its groups.

Dates are epoch milliseconds (UTC). Names of domains are lower-case A-labels; addresses are
`address.Address.key` texts, so that equality in the store is equality in the mail world.
"""

from collections.abc import Iterable
from enum import StrEnum
from ipaddress import ip_address

import msgspec

from gatepost.model.network import subnet
from gatepost.model.values import AnyCase


class Language(AnyCase):
    FR = "FR"
    EN = "EN"
    DE = "DE"
    ES = "ES"
    DA = "DA"
    NB = "NB"


class DomainStatus(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    PENDING = "PENDING"
    DELETED = "DELETED"


class UserStatus(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    PENDING = "PENDING"


class Priority(StrEnum):
    """Whose sender rules win where the domain's and the mailbox's differ."""

    DOMAIN = "DOMAIN"
    USER = "USER"


class Broker(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    id: int = 0
    name: str
    description: str | None = None
    external_id: str | None = None
    created_at: int


class Customer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    id: int = 0
    broker_id: int
    name: str
    description: str | None = None
    external_id: str | None = None
    domain_quota: int | None = None  # None: no limit
    created_at: int


class Domain(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A served domain; `policy_id` is its default policy."""

    id: int = 0
    customer_id: int
    name: str
    description: str | None = None
    status: DomainStatus = DomainStatus.ENABLED
    wblist_priority: Priority = Priority.USER
    default_language: Language
    auto_provisioning_on: bool = False
    sender_verify_on: bool = True
    external_id: str | None = None
    policy_id: int = 0
    outgoing_subnets: list[str] = []
    outgoing_provider_ids: list[int] = []
    creation_date: int
    deletion_date: int | None = None
    purge_date: int | None = None
    sender_generation: int = 0  # which SenderRule.generation counts for the domain's own rules
    user_permissions: list[str] | None = None  # what its end users may do with their mailboxes; None: the usual
    connection_id: int | None = None  # what its leaving mail goes by; None: the default relay, or MX

    def sends_from(self, ip: str) -> bool:
        """Tell whether an address lies in one of the domain's outgoing subnets."""
        try:
            address = ip_address(ip)
            return any(address in subnet(each) for each in self.outgoing_subnets)
        except ValueError:
            return False

    def sends_through(self, providers: Iterable["Provider"]) -> bool:
        """Tell whether the domain names one of some outgoing providers."""
        return any(each.id in self.outgoing_provider_ids for each in providers)


class DomainAlias(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One further name of a domain."""

    id: int = 0
    domain_id: int
    name: str


class User(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mailbox account; None in `policy_id` or `platform_id` means the domain's."""

    id: int = 0
    domain_id: int
    email: str
    firstname: str | None = None
    lastname: str | None = None
    status: UserStatus = UserStatus.ENABLED
    language: Language
    creation_date: int
    policy_id: int | None = None
    platform_id: int | None = None
    auth_id: int | None = None
    sender_verify_on: bool = True
    password_hash: str | None = None
    scram: str | None = None  # sealed: what verifies the password by SCRAM; "" of one that can't be
    sign: str | None = None  # HTML
    mfa_type: str | None = None
    totp_secret: str | None = None  # sealed; while `mfa_type` is not TOTP it waits to be confirmed
    totp_step: int = 0  # the time step of the last code that was taken
    last_connection_date: int | None = None
    sender_generation: int = 0  # which SenderRule.generation counts for the mailbox's rules
    connection_id: int | None = None  # what his leaving mail goes by; None: the domain's
    heir: bool = False  # a former holder's mail may have lain at the address when it became this account's


class Group(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An address that stands for several; the contract calls it an e-mail alias."""

    id: int = 0
    domain_id: int
    email: str


class GroupMember(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One recipient of a group; its type (USER, ALIAS, EXTERNAL_ADDRESS) is read off the directory."""

    id: int = 0
    group_id: int
    email: str


class Provider(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An outgoing provider, known by the domain of its SPF record."""

    id: int = 0
    name: str
    spf_provider: str
    active: bool = True
