"""A Gatepost inside another program: several at once, stopped and started again, and a start that fails."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp
from tests.ready import lay_store

import gatepost as package
from gatepost import Gatepost, Settings, SettingsError, init, load
from gatepost.api.endpoint import Endpoint, endpoint
from gatepost.model.access import Admin, Caller, Grant, Level
from gatepost.model.problem import Kind, Problem
from gatepost.settings import Http, Listener, Smtp, StoreSettings

pytestmark = pytest.mark.anyio

Make = Callable[..., Gatepost]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(name: str, *, http: str = "127.0.0.1:0", smtp: str = "127.0.0.1:0") -> Gatepost:
        lay_store(tmp_path / name)
        sections = {
            "store": {"directory": str(tmp_path / name)},
            "http": {"listen": [http]},
            "smtp": {"hostname": "gate.example", "listener": [{"listen": smtp}]},
        }
        return Gatepost(msgspec.convert(sections, Settings))

    return made


def smtp_port(gatepost: Gatepost) -> int:
    return gatepost.listeners.addresses[0][2]


PAGE = (Path(__file__).parents[1] / "docs/embedding.md").read_text()
PROGRAM, OPERATION = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def alone(tmp_path: Path) -> Settings:
    """The settings of one that needs no port for its API."""
    return Settings(
        smtp=Smtp(hostname="gate.example", listener=[Listener(listen="127.0.0.1:0")]),
        http=Http(listen=[]),
        store=StoreSettings(directory=str(tmp_path / "state")),
    )


def client(app: ASGIApp, token: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gatepost", headers=headers)


def test_every_name_of_the_face_is_there_and_told() -> None:
    told = re.findall(r"^\| `(\w+)[`(].* \|$", PAGE.partition("Of a Gatepost that runs")[0], re.M)
    assert sorted(told) == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'gatepost' has no attribute 'Postgate'"):
        _ = package.Postgate


def test_who_needs_one_room_does_not_import_the_house() -> None:
    program = "import sys, gatepost.mta.reader; sys.exit('gatepost.app' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_program_of_the_page_runs_and_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = PROGRAM.replace(":2525", ":0").replace("await asyncio.Event().wait()", "print(await api.get('/domains'))")
    assert program.count("print(") == 2
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        exec(program, {"__name__": "__main__"})
        said = capsys.readouterr().out
        assert re.search(r"^mx: 127.0.0.1:[1-9]\d*\n<Response \[200 OK\]>$", said, re.M), said
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


async def test_an_operation_of_the_program_is_answered_and_described_like_any_other(tmp_path: Path) -> None:
    settings = alone(tmp_path)
    first = await asyncio.to_thread(init, settings, "ada")
    own: dict[str, Any] = {"__name__": "own"}
    exec(OPERATION, own)
    operation: Endpoint = own["get_greeting"]
    async with Gatepost(settings, operations=[operation]) as relay, client(relay.site, first.token) as api:
        assert (await api.get("/greeting")).json() == {"text": "Good day, ada."}
        described = (await api.get("/openapi.json")).json()["paths"]
        assert described["/greeting"]["get"]["summary"] == "Greet who calls."
        assert "/domains" in described
    async with Gatepost(settings) as relay, client(relay.site, first.token) as api:
        assert (await api.get("/greeting")).status_code == 404
        assert "/greeting" not in (await api.get("/openapi.json")).json()["paths"]


class Guests:
    """A service of the program's."""

    def __init__(self) -> None:
        self.names: list[str] = []


class Guest(msgspec.Struct):
    name: str


@endpoint("POST", "/guests/{guestBook}", addition=True)
async def add_guest(guests: Guests, guest_book: str, caller: Caller, body: Guest) -> list[str]:
    """Write a name down."""
    guests.names.append(f"{guest_book}: {body.name}")
    return guests.names


@endpoint("GET", "/guests/{guestBook}", addition=True)
async def download_guests(guests: Guests, guest_book: str, caller: Caller) -> PlainTextResponse:
    """Hand them out as a text."""
    return PlainTextResponse("\n".join(guests.names))


async def test_a_service_of_the_program_is_there_at_every_start(tmp_path: Path) -> None:
    settings = alone(tmp_path)
    first = await asyncio.to_thread(init, settings)
    relay = Gatepost(settings, operations=[add_guest, download_guests], services=[Guests()])
    for count in (1, 2):
        async with relay, client(relay.site, first.token) as api:
            answer = await api.post("/guests/red", json={"name": "Ann"})
            assert (answer.status_code, answer.json()) == (201, ["red: Ann"] * count)
            assert (await api.post("/guests/red", json={"name": 1})).json()["pointer"] == "/name"
            assert (await api.get("/guests/red")).text == "\n".join(["red: Ann"] * count)
            described = (await api.get("/openapi.json")).json()["paths"]["/guests/{guestBook}"]
            assert described["get"]["responses"]["200"]["content"] == {"*/*": {}}


@endpoint("GET", "/domains", addition=True)
async def taken(caller: Caller) -> None:
    """Stand where another does."""


@endpoint("GET", "/guests/{guest_name}", addition=True)
async def misnamed(guest_name: str) -> None:
    """Name the path's part as Python does."""


@endpoint("GET", "/all-guests", addition=True, permission="DOMAINS_READ")
async def list_guests(caller: Caller) -> list[str]:
    """Tell them to who may see domains."""
    return ["Ann"]


async def test_who_holds_its_permission_nowhere_is_refused_an_operation_of_the_program(tmp_path: Path) -> None:
    settings = alone(tmp_path)
    first = await asyncio.to_thread(init, settings)
    async with Gatepost(settings, operations=[list_guests]) as relay, client(relay.site, first.token) as api:
        assert (await api.get("/all-guests")).json() == ["Ann"]
        held = await relay.store.write(lambda writer: writer.change(Admin, 1, sys_admin=False))
        assert held and (await api.get("/all-guests")).status_code == 403
        grant = Grant(admin_id=held.id, level=Level.PLATFORM, permissions=["DOMAINS_READ"])
        await relay.store.write(lambda writer: writer.add(grant))
        assert (await api.get("/all-guests")).json() == ["Ann"]


@endpoint("GET", "/guests", addition=True, permission="GUESTS_READ")
async def unheard(caller: Caller) -> None:
    """Ask for a right that is none."""


@endpoint("GET", "/guests", addition=True)
async def opaque(caller: Caller) -> Guests:
    """Answer with what is no data."""
    return Guests()


@pytest.mark.parametrize(
    ("operation", "wrong"),
    [
        (unheard, "GET /guests: there is no permission 'GUESTS_READ'"),
        (opaque, "GET /guests can't be described: "),
        (taken, "GET /domains is declared twice"),
        (misnamed, "GET /guests/{guest_name}: no name of the path and no service fills 'guest_name'"),
        (add_guest, "POST /guests/{guestBook}: no name of the path and no service fills 'guests'"),
    ],
)
async def test_an_operation_that_can_not_be_answered_is_refused_at_the_start(
    tmp_path: Path, operation: Endpoint, wrong: str
) -> None:
    settings = alone(tmp_path)
    with pytest.raises(ValueError, match=re.escape(wrong)):
        await Gatepost(settings, operations=[operation]).start()
    async with Gatepost(settings):  # nothing was left open
        pass


async def test_it_is_mounted_in_an_application_of_the_program(tmp_path: Path) -> None:
    settings = alone(tmp_path)
    first = await asyncio.to_thread(init, settings)
    async with Gatepost(settings) as relay:
        outer = Starlette(routes=[Mount("/gate", app=relay.site)])
        async with client(outer, first.token) as api:
            assert (await api.get("/gate/domains")).json() == []
            assert (await api.get("/gate/users/bob%2Fx@d.example")).status_code == 404
            assert "/domains" in (await api.get("/gate/openapi.json")).json()["paths"]
            assert (await api.get("/gate/gate")).json()["path"] == "/gate"
            assert (await api.get("/domains")).text == "Not Found"  # by the outer one


@pytest.mark.parametrize("kind", [str, Path])
def test_settings_are_read_from_a_file_however_it_is_named(tmp_path: Path, kind: type) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text('[smtp]\nhostname = "gate.example"\n')
    assert load(kind(file)).settings.smtp.hostname == "gate.example"
    with pytest.raises(SettingsError, match="no such file"):
        load(kind(tmp_path / "other.toml"))


def test_init_says_what_is_wrong(tmp_path: Path) -> None:
    settings = Settings(store=StoreSettings(directory=str(tmp_path / "state")))
    with pytest.raises(Problem, match="The login 'a\\\\nb' can't be one") as wrong:
        init(settings, "a\nb")
    assert wrong.value.kind is Kind.MALFORMED and not (tmp_path / "state").exists()
    assert len(init(settings).token) == 32
    with pytest.raises(Problem, match="The store is set up already") as again:
        init(settings)
    assert again.value.kind is Kind.CONFLICT


async def test_two_in_one_process_have_nothing_in_common(make: Make) -> None:
    async with make("one") as one, make("other") as other:
        assert smtp_port(one) != smtp_port(other)
        assert one.urls != other.urls
        assert (one.metrics.registry, one.store) != (other.metrics.registry, other.store)


async def test_one_that_was_stopped_tells_of_no_address_and_starts_again(make: Make) -> None:
    gatepost = make("store")
    await gatepost.stop()  # it never ran: nothing to do
    for _ in range(2):
        await gatepost.start()
        assert len(gatepost.urls) == 1
        await gatepost.stop()
        assert gatepost.urls == []
        assert gatepost.listeners.addresses == []
    await gatepost.stop()


async def test_a_certificate_that_cannot_be_read_is_an_error_of_the_settings(make: Make) -> None:
    gatepost = make("store")
    gatepost.settings = msgspec.structs.replace(gatepost.settings, http=Http(certificate="none.pem"))
    with pytest.raises(SettingsError, match=r"http: certificate 'none\.pem' with key ''"):
        await gatepost.start()


async def test_a_second_start_is_refused_and_harms_nothing(make: Make) -> None:
    async with make("store") as gatepost:
        with pytest.raises(RuntimeError, match="started already"):
            await gatepost.start()
        _, writer = await asyncio.open_connection("127.0.0.1", smtp_port(gatepost))
        writer.close()


@pytest.mark.parametrize("door", ["http", "smtp"])
async def test_a_start_that_finds_a_port_taken_leaves_nothing_open_and_may_be_tried_again(
    make: Make, door: str
) -> None:
    async with make("first") as first:
        port = first.urls[0].rpartition(":")[2] if door == "http" else smtp_port(first)
        late = make("late", **{door: f"127.0.0.1:{port}"})
        tasks = asyncio.all_tasks()
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: Address already in use"):
            await late.start()
        assert asyncio.all_tasks() == tasks
    await late.start()
    await late.stop()
