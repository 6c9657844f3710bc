"""Where mail goes next: a platform's transports, and the ways to reach one."""

from enum import StrEnum
from functools import cached_property

import msgspec

PUBLIC = "public"  # ends the name of a destination that may not be at a private address


class Transport(StrEnum):
    """How a next hop is spoken to (contract section 5)."""

    SMTP = "SMTP"  # plain
    SMTPS_ENCRYPT = "SMTPS_ENCRYPT"  # TLS required and verified; implicit on port 465, else STARTTLS
    SMTPS_MAY = "SMTPS_MAY"  # TLS where offered, not verified


class Platform(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A customer's mail server with its sign-in and remediation settings.

    `api_data` and `auth_data` are sealed JSON texts (`store` never sees them in clear). `private`: who saved its
    servers may have mail handed to private addresses.
    """

    id: int = 0
    domain_id: int
    name: str
    transport_dest: str
    transport_type: Transport
    transport_port: int
    fallback_transport_dest: str | None = None
    fallback_transport_type: Transport | None = None
    fallback_transport_port: int | None = None
    api_type: str | None = None
    api_data: str | None = None
    auth_type: str | None = None
    auth_data: str | None = None
    default: bool = False
    private: bool = True


class Terms(msgspec.Struct, frozen=True):
    """What one server wants beyond its transport: credentials, whom to trust, limits of its own (seconds).

    With `trust` (names, or *) a certificate is not checked; without `check_name` it may bear any name.
    """

    name: str  # whose terms these are, for the log
    implicit_tls: bool = False
    username: str = ""  # "": nobody signs in
    password: str = ""
    trust: tuple[str, ...] = ()
    check_name: bool = True
    local_name: str = ""
    connect_timeout: float | None = None
    read_timeout: float | None = None
    write_timeout: float | None = None

    def __repr__(self) -> str:
        return f"Terms({self.name})"


class Hop(msgspec.Struct, frozen=True):
    """One server to hand mail to: a name or address literal text, a port, and how to speak to it.

    `private`: may it be at a private address?
    """

    host: str
    port: int
    transport: Transport
    terms: Terms | None = None
    private: bool = True

    @property
    def text(self) -> str:
        """The hop in one word."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.transport.value}"


def write_hop(hop: Hop) -> str:
    """Return a hop as `read_hop` reads it."""
    return hop.text if hop.private else f"{hop.text},{PUBLIC}"


def read_hop(text: str) -> Hop:
    """Read `host:port/TRANSPORT`, and whether it may be at a private address; raise ValueError."""
    server, _, ground = text.partition(",")
    where, _, transport = server.rpartition("/")
    host, _, port = where.rpartition(":")
    return Hop(host.strip("[]"), int(port), Transport(transport), private=ground != PUBLIC)


class Route(msgspec.Struct, frozen=True, dict=True):
    """The way of a mail to a recipient: given hops in order of trial, or the MX of `domain` when there are none."""

    hops: tuple[Hop, ...] = ()
    domain: str | None = None
    max_connections: int | None = None  # None: the queue's own limit

    @cached_property
    def destination(self) -> str:
        """One text for each place that mail may go to."""
        hops = [hop.text for hop in self.hops]
        hops += [hop.terms.name for hop in self.hops if hop.terms]
        if any(hop.terms is None and not hop.private for hop in self.hops):
            hops.append(PUBLIC)  # whoever names another's server slows nobody down who may reach it
        return ",".join(hops) or f"@{(self.domain or '').lower()}"


def platform_route(platform: Platform) -> Route:
    """Return the main transport of a platform, then its fallback."""
    private = platform.private
    hops = [Hop(platform.transport_dest, platform.transport_port, platform.transport_type, private=private)]
    if platform.fallback_transport_dest and platform.fallback_transport_port:
        kind = platform.fallback_transport_type or platform.transport_type
        spare = (platform.fallback_transport_dest, platform.fallback_transport_port)
        hops.append(Hop(*spare, kind, private=private))
    return Route(hops=tuple(hops))
