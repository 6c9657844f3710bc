"""Where a delivery goes as things stand: by hand, platform, connection, default relay, or MX; else it waits."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.house import Api, open_api
from tests.house import World

from gatepost.model.connection import Connection, Project
from gatepost.model.problem import Problem
from gatepost.model.query import eq
from gatepost.model.route import Platform, Transport
from gatepost.model.stored import Delivery

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Api]:
    api = open_api(tmp_path / "state")
    project = await add(api, Project(customer_id=1, name="p", created_at=0))
    for name, more in {
        "good": {"auth": True, "username": "me", "password": api.store.secrets.seal("secret")},
        "off": {"enabled": False},
        "lost": {"password": "sealed with another key"},
        "odd": {"properties": [{"name": "mail.smtp.timeout", "value": "soon"}]},
    }.items():
        await add(api, Connection(project_id=project.id, name=name, host=f"{name}.example", port=25, **more))
    kind = {"transport_type": Transport.SMTP, "transport_port": 25}
    await add(api, Platform(domain_id=1, name="main", transport_dest="platform.example", **kind))
    yield api
    await api.store.close()


async def add(api: Api, row: Any) -> Any:
    return await api.store.write(lambda writer: writer.add(row))


def way(api: Api, connection: str = "", **fields: Any) -> str:
    """Return the host that a delivery goes to, its recipient's domain where MX tells, or why it waits."""
    row = api.store.reader.first(Connection, eq("name", connection)) if connection else None
    usual = {"mail_id": "1", "recipient": "ada@far.example", "sender": "", "due": 0, "expires": 0, "created": 0}
    fixed = {**usual, **fields}
    try:
        route = api.gatepost.ways.of(Delivery(**fixed, connection_id=row.id if row else None))
    except Problem as problem:
        return problem.detail
    return route.hops[0].host if route.hops else f"MX of {route.domain}"


async def test_mail_for_a_server_that_was_taken_away_goes_to_the_recipients_present_one(api: Api) -> None:
    """Who gives a domain a new mail server in place of the old one moves what waits, too."""
    world = World(api.store, api.gatepost.clock)
    domain = await world.domain("moved.example", hop=("new.example", 25))
    assert way(api, recipient="ada@moved.example", platform_id=99) == "new.example"
    kind = {"transport_type": Transport.SMTP, "transport_port": 25}
    own = await add(api, Platform(domain_id=domain.id, name="own", transport_dest="own.example", **kind))
    await world.user("bob@moved.example", platform_id=own.id)
    assert way(api, recipient="bob@moved.example", platform_id=99) == "own.example"


async def test_each_way_has_its_turn(api: Api) -> None:
    waits = "the connection is switched off, or no longer there"
    assert way(api) == "MX of far.example"
    default = await add(api, Connection(name="default", host="default.example", port=25))
    assert way(api) == "default.example"
    assert way(api, "good") == "good.example"
    assert way(api, "good", platform_id=1) == "platform.example"
    assert way(api, platform_id=9) == "the recipient's mail server is no longer configured"
    assert way(api, "good", platform_id=1, via="[192.0.2.1]:25/SMTP").strip("[]") == "192.0.2.1"
    assert [way(api, name) for name in ("off", "lost", "odd")] == [waits] * 3
    await api.store.write(lambda writer: writer.remove(Connection, eq("id", default.id)))
    assert way(api) == "MX of far.example"
    good = api.store.reader.first(Connection, eq("name", "good"))
    assert good is not None
    await api.store.write(lambda writer: writer.change(Connection, good.id, host="moved.example"))
    assert way(api, "good") == "moved.example"


async def test_a_way_that_was_taken_once_is_told_anew_when_its_platform_changes(api: Api) -> None:
    assert [way(api, platform_id=1) for _ in range(2)] == ["platform.example"] * 2
    await api.store.write(lambda writer: writer.change(Platform, 1, transport_dest="moved.example"))
    assert way(api, platform_id=1) == "moved.example"
    await api.store.write(lambda writer: writer.remove(Platform, eq("id", 1)))
    assert way(api, platform_id=1) == "the recipient's mail server is no longer configured"
