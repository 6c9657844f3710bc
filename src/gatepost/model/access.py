"""Who may do what: accounts, tokens, grants on the nodes of the tree, permissions (semantics 1, F3)."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Admin(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An administrator's account. Dates in epoch milliseconds."""

    id: int = 0
    login: str
    display_name: str | None = None
    email: str | None = None
    password_hash: str | None = None
    enabled: bool = True
    language: str = "EN"
    totp: bool = False
    totp_secret: str | None = None  # sealed; with `totp` False it waits to be confirmed
    totp_step: int = 0  # the time step of the last code that was taken
    sys_admin: bool = False
    last_connection_date: int | None = None
    created_at: int


class Token(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A personal token; `digest` is the SHA-256 (hex) of its value, which is shown once.

    Exactly one of `admin_id` and `user_id` is set. `expiration` None means never.
    """

    id: int = 0
    admin_id: int | None = None
    user_id: int | None = None
    name: str
    digest: str
    expiration: int | None = None
    created_at: int
    last_use: int | None = None


class Level(StrEnum):
    """Where a node of the tree stands; what is held on one is held on all below it."""

    PLATFORM = "PLATFORM"
    BROKER = "BROKER"
    CUSTOMER = "CUSTOMER"
    DOMAIN = "DOMAIN"


class Grant(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an administrator holds on a node: permissions by name, and roles, which stand for several.

    `node_id` is 0 for the platform.
    """

    id: int = 0
    admin_id: int
    level: Level
    node_id: int = 0
    permissions: list[str] = []
    roles: list[str] = []


class Role(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A role of a domain's own, beside those that every domain has."""

    id: int = 0
    domain_id: int
    name: str
    description: str | None = None
    permissions: list[str] = []
    created_at: int


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Where one permission is held: on the whole platform, or on these objects.

    Brokers count for themselves alone; `customers` and `domains` name all below what was granted.
    """

    everywhere: bool = False
    brokers: frozenset[int] = frozenset()
    customers: frozenset[int] = frozenset()
    domains: frozenset[int] = frozenset()
    users: frozenset[int] = frozenset()


class Purpose(StrEnum):
    """What a ticket opens; it opens nothing else (threat 117)."""

    API = "api"  # requests, as a bearer token
    SIGN_IN = "sign_in"  # the page that signs in, once
    PASSWORD = "password"  # noqa: S105 - the page that sets a password, once
    SESSION = "session"  # the pages, until they are left
    COMPOSE = "compose"  # the page that sends one mail, once


class Ticket(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A temporary token for one purpose; `digest` is the SHA-256 (hex) of its value, which is told once.

    Exactly one of `admin_id` and `user_id` is set. It ends with the password that `mark` remembers. `maker_id` is the
    administrator who made it to act for the account.
    """

    id: int = 0
    purpose: Purpose
    admin_id: int | None = None
    user_id: int | None = None
    maker_id: int | None = None
    digest: str
    mark: str
    created_at: int
    expires_at: int


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what he may do: read for each request, so that a withdrawn right acts at once.

    `temporary`: proven by a temporary token, which makes no tokens and no passwords. `maker` made that token to act for
    somebody else and bounds what it may do (rules 13). `local`: he asks over the control socket, as the daemon's user.
    """

    admin_id: int | None = None
    user_id: int | None = None
    login: str = ""
    sys_admin: bool = False
    token_id: int | None = None
    rights: Mapping[str, Reach] = {}  # by permission
    temporary: bool = False
    local: bool = False
    maker: "Caller | None" = None


RESOURCES = (
    "ADMINS",
    "DOMAINS",
    "POLICIES",
    "USERS",
    "GROUPS",
    "RULES",
    "DKIM",
    "OPTIONS",
    "HEALTH",
    "MAILS",
    "QUEUE",
    "ROUTES",
    "AUDIT",
)
ACTS = (
    "GRANT",
    "IMPERSONATE",
    "MAIL_CONTENT",
    "MAIL_SEND",
    "QUARANTINE_RELEASE",
    "VIRUS_RELEASE",
    "TASK_WELCOME",
    "TASK_TOKEN",
    "TASK_PASSWORD_RESET",
    "TASK_SPAMFIGHT",
    "TASK_REMEDIATE",
)
PERMISSIONS = frozenset([f"{resource}_{verb}" for resource in RESOURCES for verb in ("READ", "WRITE")]) | frozenset(
    ACTS
)
