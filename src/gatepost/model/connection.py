"""Outgoing relays: connections in projects and the platform's default one; how a server is spoken to by one."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gatepost.model.route import Hop, Route, Terms, Transport

LONGEST_WAIT = 600_000  # milliseconds


class Project(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A set of connections that belongs to one customer. `created_at` in epoch milliseconds."""

    id: int = 0
    customer_id: int
    name: str
    created_at: int


class Connection(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An outgoing relay with its credentials; the one without a project is the platform's default.

    `password` is a sealed text. `ssl` is TLS from the first octet, `start_tls` asks for STARTTLS. It signs in where
    `auth` is set. `properties` are kept as they were given; docs/dialects.md tells which have an effect.
    """

    id: int = 0
    project_id: int | None = None
    name: str
    description: str | None = None
    enabled: bool = True
    deploy_to_worker: bool = True
    host: str
    port: int
    ssl: bool = False
    start_tls: bool = False
    auth: bool = False
    username: str | None = None
    password: str | None = None
    default_encoding: str = "UTF-8"
    address_to_test: str | None = None
    sender: str | None = None
    private: bool = False  # who saved it may have mail handed to private addresses
    properties: list[Any] = []


_NAME = re.compile(r"mail\.smtps?\.(.+)\Z", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z|\[[0-9A-Fa-f:.]+\]\Z")


class BadProperty(ValueError):
    """A property that has an effect has a value that can't; `at` is its place in the list."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at


class Properties(msgspec.Struct, frozen=True):
    """The additional properties that have an effect, read; None where nothing was said. Times in seconds."""

    connect_timeout: float | None = None
    read_timeout: float | None = None
    write_timeout: float | None = None
    ssl: bool | None = None
    start_tls: bool | None = None
    start_tls_required: bool = False
    trust: tuple[str, ...] = ()
    check_name: bool = True
    local_name: str = ""


def read_properties(items: Sequence[Any]) -> Properties:
    """Read additional properties; what is no {name, value} or has another name is passed over. Raise BadProperty."""
    found: dict[str, Any] = {}
    for at, item in enumerate(items):
        known = _NAME.match(str(item.get("name") or "")) if isinstance(item, dict) else None
        if known is None or known[1].lower() not in PROPERTIES:
            continue
        member, read = PROPERTIES[known[1].lower()]
        try:
            found[member] = read(item.get("value"))
        except ValueError as error:
            raise BadProperty(at, f"{item['name']}: {error}") from error
    return Properties(**found)


def _flag(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def _seconds(value: Any) -> float:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,7}", text) or not 0 < int(text) <= LONGEST_WAIT:
        raise ValueError(f"expected milliseconds from 1 to {LONGEST_WAIT}")
    return int(text) / 1000


def _hosts(value: Any) -> tuple[str, ...]:
    names = tuple(str(value).lower().split())
    if not names or not all(name == "*" or _HOST.match(name) for name in names):
        raise ValueError("expected * or names of servers, separated by spaces")
    return names


def _local(value: Any) -> str:
    text = str(value).strip()
    if not _HOST.match(text):
        raise ValueError("expected a host's name")
    return text


PROPERTIES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "connectiontimeout": ("connect_timeout", _seconds),
    "timeout": ("read_timeout", _seconds),
    "writetimeout": ("write_timeout", _seconds),
    "ssl.enable": ("ssl", _flag),
    "starttls.enable": ("start_tls", _flag),
    "starttls.required": ("start_tls_required", _flag),
    "ssl.trust": ("trust", _hosts),
    "ssl.checkserveridentity": ("check_name", _flag),
    "localhost": ("local_name", _local),
}
"""What has an effect, by its name without `mail.smtp.` or `mail.smtps.`: the member that it sets, and its reading."""


def connection_route(connection: Connection, password: str | None) -> Route:
    """Return the way over a connection; `password` is its own in clear."""
    known = read_properties(connection.properties)
    signs_in = connection.auth and bool(connection.username) and password is not None
    implicit = connection.ssl if known.ssl is None else known.ssl
    terms = Terms(
        name=f"connection {connection.id}",
        implicit_tls=implicit,
        username=(connection.username or "") if signs_in else "",
        password=(password or "") if signs_in else "",
        trust=known.trust,
        check_name=known.check_name,
        local_name=known.local_name,
        connect_timeout=known.connect_timeout,
        read_timeout=known.read_timeout,
        write_timeout=known.write_timeout,
    )
    start_tls = connection.start_tls if known.start_tls is None else known.start_tls
    if implicit or known.start_tls_required or (start_tls and signs_in):  # no password goes out where TLS fails
        transport = Transport.SMTPS_ENCRYPT
    else:
        transport = Transport.SMTPS_MAY if start_tls else Transport.SMTP
    return Route(hops=(Hop(connection.host, connection.port, transport, terms, connection.private),))
