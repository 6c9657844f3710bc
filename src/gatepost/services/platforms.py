"""A domain's platforms: where its mail is handed to, how its users sign in, how delivered mail can be acted on.

Sign-in and remediation settings are sealed before they reach the store; secrets never come out again.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq
from gatepost.model.route import Platform, Transport, platform_route
from gatepost.model.tenant import User
from gatepost.model.values import Id
from gatepost.services.records import Line, Name, Port, Text, unprocessable
from gatepost.services.targets import Targets
from gatepost.store.secrets import Secrets
from gatepost.store.store import Reader, Writer

MANY = 100  # platforms of one domain


class AuthType(StrEnum):
    LOCAL = "local"
    IMAP = "imap"
    LDAP = "ldap"
    OIDC = "oidc"
    ENTRA = "entra"


class ApiType(StrEnum):
    IMAP = "IMAP"
    EXCHANGE = "EXCHANGE"
    O365 = "O365"


Said = str | UnsetType | None
"""A text that answers leave out where it does not belong to the type, and show as null where it is a secret."""


class AuthSettings(msgspec.Struct, kw_only=True):
    """How the users of a platform sign in; which members count is decided by authType."""

    host: Line | UnsetType | None = UNSET
    port: Port | UnsetType | None = UNSET
    bind_user: Line | UnsetType | None = UNSET
    bind_password: Said = UNSET
    use_ssl: bool | UnsetType | None = UNSET
    base_dn: Line | UnsetType | None = UNSET
    mail_attribute: Line | UnsetType | None = UNSET
    cert_pem: Text | UnsetType | None = UNSET
    username_format: Line | UnsetType | None = UNSET
    issuer_uri: Line | UnsetType | None = msgspec.field(name="issuerUri", default=UNSET)
    client_id: Line | UnsetType | None = msgspec.field(name="clientId", default=UNSET)
    client_secret: Said = msgspec.field(name="clientSecret", default=UNSET)
    name_attr: Line | UnsetType | None = msgspec.field(name="nameAttr", default=UNSET)
    scope: Line | UnsetType | None = UNSET
    tenant_id: Line | UnsetType | None = msgspec.field(name="tenantId", default=UNSET)


class ApiSettings(msgspec.Struct, kw_only=True, rename="camel"):
    """Access to the mail server for remediation; which members count is decided by apiType."""

    host: Line | UnsetType | None = UNSET
    login: Line | UnsetType | None = UNSET
    password: Said = UNSET
    test_account: Line | UnsetType | None = UNSET
    port: Port | UnsetType | None = UNSET
    use_ssl: bool | UnsetType | None = UNSET
    client_id: Line | UnsetType | None = UNSET
    tenant_id: Line | UnsetType | None = UNSET
    client_secret: Said = UNSET


Settings = TypeVar("Settings", AuthSettings, ApiSettings)

SECRETS = frozenset({"bind_password", "client_secret", "password"})
SERVER = ("host", "port", "issuer_uri")  # where secrets go
AUTH_MEMBERS: dict[str, tuple[str, ...]] = {
    AuthType.LOCAL: (),
    AuthType.IMAP: ("host", "port", "use_ssl", "cert_pem"),
    AuthType.LDAP: (
        *("host", "port", "bind_user", "bind_password", "use_ssl", "base_dn", "mail_attribute", "cert_pem"),
        "username_format",
    ),
    AuthType.OIDC: ("issuer_uri", "client_id", "client_secret", "name_attr", "scope"),
    AuthType.ENTRA: ("tenant_id",),
}
API_MEMBERS: dict[str, tuple[str, ...]] = {
    ApiType.IMAP: ("host", "port", "login", "password", "use_ssl"),
    ApiType.EXCHANGE: ("host", "login", "password", "test_account"),
    ApiType.O365: ("client_id", "tenant_id", "client_secret"),
}


class PlatformPart(msgspec.Struct, kw_only=True, rename="camel"):
    """A platform as callers give it; `id` replaces one. Secrets left out keep their value at the same server."""

    id: Id | None = None
    name: Name
    transport_dest: Name
    transport_type: Transport
    transport_port: Port
    fallback_transport_dest: Line | None = None
    fallback_transport_type: Transport | None = None
    fallback_transport_port: Port | None = None
    api_type: ApiType | None = None
    api_data: ApiSettings | None = None
    auth_type: AuthType | None = None
    auth_data: AuthSettings | str | None = None
    default: bool | None = None


class PlatformView(msgspec.Struct, kw_only=True, rename="camel"):
    """A platform as callers see it."""

    id: Id
    name: str
    transport_dest: str
    transport_type: Transport
    transport_port: int
    fallback_transport_dest: str | None
    fallback_transport_type: Transport | None
    fallback_transport_port: int | None
    api_type: str | None
    api_data: ApiSettings | None
    auth_type: str | None
    auth_data: AuthSettings | None
    default: bool


class Platforms:
    """Reads platforms given by callers and shows stored ones."""

    def __init__(self, secrets: Secrets, targets: Targets) -> None:
        self._secrets = secrets
        self._targets = targets

    def view(self, platform: Platform) -> PlatformView:
        """Return what callers see: settings without their secrets."""
        return PlatformView(
            id=Id(platform.id),
            name=platform.name,
            transport_dest=platform.transport_dest,
            transport_type=platform.transport_type,
            transport_port=platform.transport_port,
            fallback_transport_dest=platform.fallback_transport_dest,
            fallback_transport_type=platform.fallback_transport_type,
            fallback_transport_port=platform.fallback_transport_port,
            api_type=platform.api_type,
            api_data=_masked(self._open(ApiSettings, platform.api_data)),
            auth_type=platform.auth_type,
            auth_data=_masked(self._open(AuthSettings, platform.auth_data)),
            default=platform.default,
        )

    def replace(self, writer: Writer, caller: Caller, domain_id: int, parts: Sequence[PlatformPart]) -> None:
        """Make the parts the platforms of a domain: those with an id are replaced, the others added, the rest removed.

        Raises UNPROCESSABLE for an unknown id, for one left out that an account uses, and for settings that don't fit.
        """
        old = {platform.id: platform for platform in of_domain(writer, domain_id)}
        new = self.read(caller, domain_id, parts, old)
        self._remove(writer, set(old) - {platform.id for platform in new})
        for platform in new:
            if platform.id:
                fields = msgspec.structs.asdict(platform)
                writer.change(Platform, fields.pop("id"), **fields)
            else:
                writer.add(platform)

    def _remove(self, writer: Writer, ids: Collection[int]) -> None:
        if writer.first(User, Where("platform_id", Op.IN, list(ids))):
            raise unprocessable("A platform that is left out is still used by an account.", "/platforms")
        writer.remove(Platform, Where("id", Op.IN, list(ids)))

    def read(
        self, caller: Caller, domain_id: int, parts: Sequence[PlatformPart], old: dict[int, Platform]
    ) -> list[Platform]:
        """Check what a caller gives; raise MALFORMED or UNPROCESSABLE with the member at fault."""
        if len(parts) > MANY:
            raise unprocessable(f"A domain has at most {MANY} platforms.", "/platforms")
        if len([part for part in parts if part.default]) > 1:
            raise unprocessable("Only one platform of a domain can be the default.", "/platforms")
        ids = [part.id for part in parts if part.id]
        if len(set(ids)) != len(ids):
            raise unprocessable("A platform is given twice.", "/platforms")
        chosen = next((index for index, part in enumerate(parts) if part.default), 0)
        return [
            self._read(caller, domain_id, part, old, f"/platforms/{index}", default=index == chosen)
            for index, part in enumerate(parts)
        ]

    def _read(
        self, caller: Caller, domain_id: int, part: PlatformPart, old: dict[int, Platform], at: str, *, default: bool
    ) -> Platform:
        known = old.get(part.id) if part.id is not None else None
        if part.id is not None and known is None:
            raise unprocessable("The domain has no such platform.", f"{at}/id")
        fallback = (part.fallback_transport_dest, part.fallback_transport_type, part.fallback_transport_port)
        if any(fallback) and not all(fallback):
            raise unprocessable("A fallback needs all three of its members.", f"{at}/fallbackTransportDest")
        servers = [(part.transport_dest, part.transport_port, f"{at}/transportDest")]
        if fallback[0] and fallback[2]:
            servers.append((fallback[0], fallback[2], f"{at}/fallbackTransportDest"))
        kept = platform_route(known).hops if known else ()
        (dest, *spare), private = self._targets.servers(caller, servers, kept)
        return Platform(
            id=known.id if known else 0,
            domain_id=domain_id,
            name=part.name,
            transport_dest=dest,
            transport_type=part.transport_type,
            transport_port=part.transport_port,
            fallback_transport_dest=spare[0] if spare else None,
            fallback_transport_type=part.fallback_transport_type,
            fallback_transport_port=part.fallback_transport_port,
            api_type=part.api_type,
            api_data=self._seal_api(part, known, f"{at}/apiData"),
            auth_type=part.auth_type,
            auth_data=self._seal_auth(part, known, f"{at}/authData"),
            default=default,
            private=private,
        )

    def _seal_auth(self, part: PlatformPart, known: Platform | None, at: str) -> str | None:
        if part.auth_data == "":
            return None
        data = read_auth(part.auth_data, at)
        same = known if known and known.auth_type == part.auth_type else None
        old = same.auth_data if same else None
        return self._seal(data, self._open(AuthSettings, old), AUTH_MEMBERS.get(part.auth_type or "", ()), at)

    def _seal_api(self, part: PlatformPart, known: Platform | None, at: str) -> str | None:
        same = known if known and known.api_type == part.api_type else None
        old = same.api_data if same else None
        return self._seal(part.api_data, self._open(ApiSettings, old), API_MEMBERS.get(part.api_type or "", ()), at)

    def _seal(
        self,
        data: AuthSettings | ApiSettings | None,
        old: AuthSettings | ApiSettings | None,
        members: tuple[str, ...],
        at: str,
    ) -> str | None:
        if data is None:
            return self._secrets.seal(msgspec.json.encode(old).decode()) if old else None
        values = {name: getattr(data, name) for name in data.__struct_fields__}
        if strange := [name for name, value in values.items() if value not in (None, UNSET) and name not in members]:
            member = _spelling(type(data), strange[0])
            raise unprocessable(f"{member} does not belong to settings of this type.", f"{at}/{member}")
        kept = {name: values[name] if values[name] is not UNSET else None for name in members}
        for name in SECRETS.intersection(kept):
            if not kept[name] and old and _known(old, name):
                _check_same_server(kept, old, f"{at}/{_spelling(type(data), name)}")
                kept[name] = _known(old, name)
        return self._secrets.seal(msgspec.json.encode(type(data)(**kept)).decode()) if members else None

    def _open(self, kind: type[Settings], sealed: str | None) -> Settings | None:
        return msgspec.json.decode(self._secrets.unseal(sealed), type=kind) if sealed else None


def _check_same_server(new: Mapping[str, object], old: AuthSettings | ApiSettings, at: str) -> None:
    """Raise MALFORMED where a secret was left out that would go to another server than it was given for."""
    if any(name in new and new[name] != _known(old, name) for name in SERVER):
        raise Problem(Kind.MALFORMED, "It must be given again where the server is another one.", pointer=at)


def _known(settings: AuthSettings | ApiSettings, name: str) -> object:
    value = getattr(settings, name)
    return None if value is UNSET else value


def _spelling(kind: type[AuthSettings] | type[ApiSettings], name: str) -> str:
    return next(field.encode_name for field in msgspec.structs.fields(kind) if field.name == name)


def read_auth(data: AuthSettings | str | None, at: str) -> AuthSettings | None:
    """Return sign-in settings; the empty text is none (contract A16). Raises MALFORMED for any other text."""
    if isinstance(data, str) and data:
        raise Problem(Kind.MALFORMED, "Expected an object.", pointer=at)
    return data if isinstance(data, AuthSettings) else None


def _masked(settings: Settings | None) -> Settings | None:
    if settings is None:
        return None
    secret = {name: None for name in SECRETS if getattr(settings, name, UNSET) is not UNSET}
    return msgspec.structs.replace(settings, **secret)


def of_domain(reader: Reader, domain_id: int) -> list[Platform]:
    """Return the platforms of a domain in the order in which they were added."""
    return reader.find(Platform, Query(where=eq("domain_id", domain_id))).items


def default_of(platforms: Sequence[Platform]) -> Platform | None:
    """Return the platform that takes the mail of addresses without account; several are tolerated (contract A54)."""
    return next((platform for platform in platforms if platform.default), platforms[0] if platforms else None)
