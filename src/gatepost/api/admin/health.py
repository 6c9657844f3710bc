"""Diagnostics of domains and relays (contract 5.11)."""

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.values import Id
from gatepost.services.health import DiagnosticEntry, EntityHealth, Health, HealthRecord, RelayCheck


@endpoint("POST", "/domains/{domainId}/health", permission="HEALTH_WRITE")
async def run_domain_health(health: Health, caller: Caller, domain_id: Id) -> EntityHealth:
    """Look at what a domain has in DNS now, and keep the result."""
    return await health.run_domain(caller, domain_id)


@endpoint("GET", "/domains/{domainId}/health", permission="HEALTH_READ")
async def get_domain_health(health: Health, caller: Caller, domain_id: Id) -> EntityHealth:
    """Return a domain's last diagnostic; the first is made now."""
    return await health.domain(caller, domain_id)


@endpoint("POST", "/platforms/{platformId}/health", permission="HEALTH_WRITE", problems=(Kind.UNPROCESSABLE,))
async def run_platform_health(health: Health, caller: Caller, platform_id: Id) -> EntityHealth:
    """Try out the servers of a platform now, and keep the result."""
    return await health.run_platform(caller, platform_id)


@endpoint("GET", "/platforms/{platformId}/health", permission="HEALTH_READ", problems=(Kind.UNPROCESSABLE,))
async def get_platform_health(health: Health, caller: Caller, platform_id: Id) -> EntityHealth:
    """Return a platform's last diagnostic; the first is made now."""
    return await health.platform(caller, platform_id)


@endpoint("GET", "/health", permission="HEALTH_READ")
async def list_health_errors(health: Health, caller: Caller) -> list[DiagnosticEntry]:
    """List the domains and platforms that are not well."""
    return await health.errors(caller)


@endpoint(
    "POST",
    "/health/try-relay",
    permission="HEALTH_WRITE",
    status=200,
    problems=(Kind.UNPROCESSABLE,),
)
async def try_relay(health: Health, caller: Caller, body: RelayCheck) -> HealthRecord:
    """Try relay settings that need not be saved; nothing is kept."""
    return await health.try_relay(caller, body)
