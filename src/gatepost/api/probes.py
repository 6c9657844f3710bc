"""Probes: is it alive, is it ready, what does it count, which version is it (additions)."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from ipaddress import ip_address

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from gatepost.api.dialect import NATIVE
from gatepost.api.endpoint import Call, endpoint
from gatepost.events import Metrics
from gatepost.model.problem import Kind, Problem
from gatepost.services.access import require

FORWARDED = {"forwarded", "x-forwarded-for", "x-real-ip"}
"""Fields by which a proxy on this machine tells that the client is another, be the proxy trusted or not."""


class Readiness:
    """What must hold before mail and requests are welcome, by name; the app puts it and its Metrics in the Counter."""

    def __init__(self, checks: Mapping[str, Callable[[], bool]]) -> None:
        self._checks = dict(checks)

    def missing(self) -> list[str]:
        """Return the names of the checks that don't hold now."""
        return [name for name, holds in self._checks.items() if not holds()]


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str = "alive"


class Ready(msgspec.Struct, frozen=True):
    """Every listener is bound and the store takes writes."""

    status: str = "ready"


class Version(msgspec.Struct, frozen=True):
    """What runs here."""

    name: str
    version: str


@endpoint("GET", "/livez", public=True, addition=True)
async def livez() -> Alive:
    """Tell that the process answers; needs no token."""
    return Alive()


@endpoint("GET", "/readyz", public=True, addition=True, problems=(Kind.UNAVAILABLE,))
async def readyz(readiness: Readiness) -> Ready:
    """Tell whether mail and requests are welcome; 503 names what is missing. Needs no token."""
    if missing := readiness.missing():
        raise Problem(Kind.UNAVAILABLE, f"Not ready: {', '.join(missing)}.")
    return Ready()


@endpoint("GET", "/metrics", public=True, addition=True, problems=(Kind.UNAUTHENTICATED, Kind.FORBIDDEN))
async def show_metrics(call: Call, metrics: Metrics) -> Response:
    """Count what happens, for Prometheus; from loopback, or with the right to read options (rules 15)."""
    if not _is_loopback(call.ip) or FORWARDED.intersection(call.request.headers):
        require(await NATIVE.prove(call.request, call.desk.counter), "OPTIONS_READ")
    try:
        encode, media = choose_encoder(call.request.headers.get("accept", ""))
    except TypeError:  # by a version there that is none
        encode, media = choose_encoder("")
    return Response(encode(metrics.registry), media_type=media)


@endpoint("GET", "/version", addition=True)
async def show_version() -> Version:
    """Tell the version."""
    return Version("gatepost", version("gatepost"))


def _is_loopback(ip: str) -> bool:
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
