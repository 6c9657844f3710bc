"""Health of domains and platforms: diagnosed when asked and on the rounds, the last result kept, failures listed."""

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.health import Checkup, Entity, Entry, failing
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.route import Hop, Platform, Transport, platform_route
from gatepost.model.tenant import Domain, DomainStatus
from gatepost.model.values import Id
from gatepost.services.access import found, require, visible
from gatepost.services.diagnosis import Diagnosis
from gatepost.services.platforms import ApiSettings, ApiType, AuthSettings, AuthType, read_auth
from gatepost.services.records import Line, Name, Port, unprocessable
from gatepost.services.relays import PORTS, Relays, stored_only
from gatepost.services.throttle import Throttle
from gatepost.store.store import Reader, Store, Writer

CHUNK = 500  # rows read at once (rules 19)
MINUTE = 60_000
SYSTEM = Caller(login="rounds", sys_admin=True)
"""Who asks on the rounds."""


class HealthResult(msgspec.Struct, kw_only=True, rename="camel"):
    """The outcome of one test."""

    type: str
    ref: Id | UnsetType = UNSET
    result: str
    output: list[str]


class HealthRecord(msgspec.Struct, kw_only=True, rename="camel"):
    """Diagnostic details."""

    status: bool
    entries: list[HealthResult]


class EntityHealth(msgspec.Struct, kw_only=True, rename="camel"):
    """The last diagnostic; `performedAt` in epoch seconds, unlike every other date (contract A3)."""

    performed_at: int
    report: HealthRecord


class DiagnosticEntry(msgspec.Struct, kw_only=True, rename="camel"):
    """One failing entity."""

    id: Id
    name: str
    type: Entity
    health: EntityHealth


class RelayCheck(msgspec.Struct, kw_only=True, rename="camel"):
    """Relay settings to try, saved or not. Sign-in and remediation settings are read and not used yet."""

    id: Id | None = None
    transport_dest: Name
    transport_port: Port
    fallback_transport_dest: Line | None = None
    fallback_transport_port: Port | None = None
    auth_type: Line
    auth_data: AuthSettings | str | None = None
    api_type: Line
    api_data: ApiSettings | None = None


class Health:
    """The diagnostics. One caller may ask for `runs_per_minute`."""

    def __init__(
        self, store: Store, diagnosis: Diagnosis, relays: Relays, *, runs_per_minute: int, clock: Clock
    ) -> None:
        self._store = store
        self._diagnosis = diagnosis
        self._relays = relays
        self._clock = clock
        self._runs = Throttle(runs_per_minute, MINUTE, clock)

    async def run_domain(self, caller: Caller, domain_id: int) -> EntityHealth:
        """Diagnose a domain now; raise TOO_MANY for a caller who asks too often."""
        domain = found(caller, "HEALTH_WRITE", self._store.reader.get(Domain, domain_id), "domain")
        self._count(caller)
        return show(await self.examine_domain(domain))

    async def domain(self, caller: Caller, domain_id: int) -> EntityHealth:
        """Return a domain's last diagnostic; the first is made now (contract A58)."""
        domain = found(caller, "HEALTH_READ", self._store.reader.get(Domain, domain_id), "domain")
        last = last_checkup(self._store.reader, Entity.DOMAIN, domain.id)
        if last is None:
            self._count(caller)
            last = await self.examine_domain(domain)
        return show(last)

    async def run_platform(self, caller: Caller, platform_id: int) -> EntityHealth:
        """Diagnose a platform now; raise UNPROCESSABLE where the caller may not have it connected to (contract A72)."""
        platform = self._platform(caller, "HEALTH_WRITE", platform_id)
        self._count(caller)
        return show(await self.examine_platform(caller, platform))

    async def platform(self, caller: Caller, platform_id: int) -> EntityHealth:
        """Return a platform's last diagnostic; the first is made now."""
        platform = self._platform(caller, "HEALTH_READ", platform_id)
        last = last_checkup(self._store.reader, Entity.PLATFORM, platform.id)
        if last is None:
            self._count(caller)
            last = await self.examine_platform(caller, platform)
        return show(last)

    def _platform(self, caller: Caller, permission: str, platform_id: int) -> Platform:
        platform = self._find(caller, permission, platform_id)
        if platform is None:
            raise Problem(Kind.NOT_FOUND, "There is no such platform.")
        return platform

    def _find(self, caller: Caller, permission: str, platform_id: int) -> Platform | None:
        """Return a platform; raise FORBIDDEN unless the caller holds the permission on its domain."""
        reader = self._store.reader
        platform = reader.get(Platform, platform_id)
        require(caller, permission, reader.get(Domain, platform.domain_id) if platform else None)
        return platform

    async def errors(self, caller: Caller) -> list[DiagnosticEntry]:
        """Return what fails of all that the caller may see, by name."""
        mine = visible(caller, "HEALTH_READ")

        def ask(reader: Reader, after: int) -> tuple[list[DiagnosticEntry], int]:
            where = every(mine, eq("failing", True), Where("id", Op.GT, after))
            rows = reader.find(Checkup, Query(where=where, limit=CHUNK)).items
            return [entry for row in rows for entry in _entry(reader, row)], rows[-1].id if rows else 0

        entries: list[DiagnosticEntry] = []
        after = 0
        while True:
            more, after = await self._store.read(partial(ask, after=after))
            entries += more
            if not after:
                return sorted(entries, key=lambda entry: (entry.name, entry.type))

    async def try_relay(self, caller: Caller, check: RelayCheck) -> HealthRecord:
        """Try settings that need not be saved; nothing is kept (contract 5.11.6)."""
        saved = self._saved(caller, check)
        _check_types(check)
        self._count(caller)
        hops = await self._store.read(lambda reader: _hops(reader, check, saved))
        recipient = self._recipient(saved) if saved else ""
        entries = await self._relays.run(caller, hops, recipient=recipient, ref=check.id)
        return _record([*entries, *stored_only(check.auth_type, check.api_type, check.id)])

    def _saved(self, caller: Caller, check: RelayCheck) -> Platform | None:
        """Return the platform that settings are of; whoever may diagnose anything may try settings of none."""
        visible(caller, "HEALTH_WRITE")
        if check.id is None:
            return None
        platform = self._find(caller, "HEALTH_WRITE", check.id)
        if platform is None:
            raise unprocessable("There is no such platform.", "/id")
        return platform

    # The tests themselves.

    async def examine_domain(self, domain: Domain) -> Checkup:
        """Run a domain's tests and keep the result."""
        sends = self._store.reader.first(Policy, every(eq("domain_id", domain.id), eq("outgoing", True))) is not None
        entries = await self._diagnosis.run(domain, sends=sends)
        return await self._keep(Entity.DOMAIN, domain.id, domain.id, entries)

    async def examine_platform(self, caller: Caller, platform: Platform) -> Checkup:
        """Try out a platform as the caller may, and keep the result."""
        hops = platform_route(platform).hops
        entries = await self._relays.run(caller, hops, recipient=self._recipient(platform), ref=platform.id)
        entries += stored_only(platform.auth_type, platform.api_type, platform.id)
        return await self._keep(Entity.PLATFORM, platform.id, platform.domain_id, entries)

    def _recipient(self, platform: Platform) -> str:
        """The one mailbox that every domain must have (RFC 5321 4.5.1)."""
        domain = self._store.reader.get(Domain, platform.domain_id)
        return f"postmaster@{domain.name}" if domain else ""

    async def _keep(self, entity: Entity, entity_id: int, domain_id: int, entries: list[Entry]) -> Checkup:
        row = Checkup(
            entity=entity,
            entity_id=entity_id,
            domain_id=domain_id,
            performed_at=self._clock(),
            failing=failing(entries),
            entries=entries,
        )

        def change(writer: Writer) -> None:
            writer.remove(Checkup, every(eq("entity", entity), eq("entity_id", entity_id)))
            if writer.get(Domain if entity is Entity.DOMAIN else Platform, entity_id) is not None:
                writer.add(row)

        await self._store.write(change)
        return row

    def _count(self, caller: Caller) -> None:
        """Count a diagnostic that a caller asks for (threat 122)."""
        who = f"{caller.admin_id} {caller.user_id}"
        if wait := self._runs.wait(who):
            raise Problem(Kind.TOO_MANY, "Too many diagnostics; try later.", retry_after=wait)
        self._runs.refuse(who)


def last_checkup(reader: Reader, entity: Entity, entity_id: int) -> Checkup | None:
    """Return the last diagnostic that was kept."""
    return reader.first(Checkup, every(eq("entity", entity), eq("entity_id", entity_id)))


def show(row: Checkup) -> EntityHealth:
    """Return what callers see of a diagnostic."""
    return EntityHealth(performed_at=row.performed_at // 1000, report=_record(row.entries))


def _record(entries: Sequence[Entry]) -> HealthRecord:
    shown = [
        HealthResult(
            type=each.type,
            ref=UNSET if each.ref is None else Id(each.ref),
            result=each.result.value,
            output=each.output,
        )
        for each in entries
    ]
    return HealthRecord(status=not failing(entries), entries=shown)


def _entry(reader: Reader, row: Checkup) -> Iterator[DiagnosticEntry]:
    """Yield a failing entity, unless it went meanwhile or its domain is deleted."""
    domain = reader.get(Domain, row.domain_id)
    named = domain if row.entity is Entity.DOMAIN else reader.get(Platform, row.entity_id)
    if named is not None and domain is not None and domain.status is not DomainStatus.DELETED:
        yield DiagnosticEntry(id=Id(row.entity_id), name=named.name, type=row.entity, health=show(row))


def _check_types(check: RelayCheck) -> None:
    """Raise MALFORMED for a sign-in or remediation that is none of a platform's (contract 5.11.6); "" is none."""
    for text, kinds, at in ((check.auth_type, AuthType, "/authType"), (check.api_type, ApiType, "/apiType")):
        if text and text not in list(kinds):
            raise Problem(Kind.MALFORMED, f"{text!r} is none of {', '.join(kinds)}.", pointer=at)
    read_auth(check.auth_data, "/authData")


def _hops(reader: Reader, check: RelayCheck, saved: Platform | None) -> list[Hop]:
    """Return the servers to try, by the transports of the saved platform; raise UNPROCESSABLE for a port (A72)."""
    if bool(check.fallback_transport_dest) != bool(check.fallback_transport_port):
        raise unprocessable("A fallback needs both of its members.", "/fallbackTransportDest")
    _check_port(reader, check.transport_port, "/transportPort")
    kind = saved.transport_type if saved else Transport.SMTPS_MAY
    hops = [Hop(check.transport_dest, check.transport_port, kind)]
    if check.fallback_transport_dest and check.fallback_transport_port:
        _check_port(reader, check.fallback_transport_port, "/fallbackTransportPort")
        kind = (saved.fallback_transport_type if saved else None) or kind
        hops.append(Hop(check.fallback_transport_dest, check.fallback_transport_port, kind))
    return hops


def _check_port(reader: Reader, port: int, at: str) -> None:
    used = (eq("transport_port", port), eq("fallback_transport_port", port))
    if port not in PORTS and not any(reader.first(Platform, each) for each in used):
        raise unprocessable("Relays are tried on mail ports and on those of saved platforms only.", at)
