"""Probes: alive, ready, counted, and by whom."""

from importlib.metadata import version

import pytest
from tests.api.house import Api

from gatepost.api.probes import Readiness

pytestmark = pytest.mark.anyio


@pytest.fixture
async def state(api: Api) -> dict[str, bool]:
    """What the checks say; tests change it."""
    state = {"listeners": True, "store": True}
    api.counter.add(Readiness({name: lambda name=name: state[name] for name in state}))  # type: ignore[misc]
    api.counter.add(api.metrics)
    return state


async def test_it_is_alive_whatever_else(api: Api, state: dict[str, bool]) -> None:
    state.update(listeners=False, store=False)
    answer = await api.ask("GET", "/livez", token=None)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_it_is_ready_only_when_everything_is(api: Api, state: dict[str, bool]) -> None:
    assert (await api.ask("GET", "/readyz", token=None)).json() == {"status": "ready"}
    for missing in (["listeners"], ["store"], ["listeners", "store"]):
        state.update({name: name not in missing for name in state})
        answer = await api.ask("GET", "/readyz", token=None)
        assert answer.status_code == 503
        assert answer.json()["message"] == f"Not ready: {', '.join(missing)}."
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_counts_are_open_to_loopback(api: Api, state: dict[str, bool], ip: str) -> None:
    """Rules 15."""
    await api.ask("GET", "/livez", token=None)
    answer = await api.ask("GET", "/metrics", token=None, ip=ip)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'gatepost_http_requests_total{method="GET",status="200"} 1.0' in answer.text
    assert "_created" not in answer.text


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "128.0.0.1"])
async def test_counts_need_a_right_elsewhere(api: Api, state: dict[str, bool], ip: str) -> None:
    """Rules 15."""
    assert (await api.ask("GET", "/metrics", token=None, ip=ip)).status_code == 401
    stranger = await api.token_of(admin_id=(await api.admin("other")).id)
    assert (await api.ask("GET", "/metrics", token=stranger, ip=ip)).status_code == 403
    assert (await api.ask("GET", "/metrics", ip=ip)).status_code == 200


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_who_comes_by_a_proxy_on_loopback_is_not_loopback(api: Api, field: str) -> None:
    """Rules 15: a proxy that nobody named in `trusted_proxies` opens the figures to nobody."""
    behind = {field: "203.0.113.9"}
    assert (await api.ask("GET", "/metrics", token=None, headers=behind, ip="127.0.0.1")).status_code == 401
    assert (await api.ask("GET", "/metrics", headers=behind, ip="127.0.0.1")).status_code == 200


async def test_counts_come_as_open_metrics_where_that_is_asked_for(api: Api, state: dict[str, bool]) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = await api.ask("GET", "/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    odd = await api.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=latest"})
    assert odd.status_code == 200 and odd.headers["content-type"].startswith("text/plain")


async def test_the_version_is_told_to_who_has_a_token(api: Api) -> None:
    assert await api.get("/version") == {"name": "gatepost", "version": version("gatepost")}
    assert (await api.ask("GET", "/version", token=None)).status_code == 401
