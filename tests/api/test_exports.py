"""Lists as files: workbooks that Excel reads, CSV, windows, chunks, no formulas, and processes that make long ones."""

import asyncio
import contextlib
import csv
import gc
import io
import os
import re
import shutil
import signal
import socket
import sys
import threading
import zipfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import httpx2
import openpyxl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message
from tests.api.house import NOW, Api, open_api
from tests.mta.test_readers import ended

from gatepost import exporter
from gatepost.api import exports
from gatepost.api.accept import choose
from gatepost.api.cells import Column, Sort
from gatepost.api.exports import RISKY, SUFFIX, Export
from gatepost.api.workbook import LAST_ROW, LONGEST, WIDTH, Workbook
from gatepost.exporter import Talk, serve
from gatepost.message.worker import LENGTH, installed
from gatepost.model.access import Admin, Caller, Token
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query, eq, every
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.tenant import Language, User
from gatepost.services.access import digest
from gatepost.services.exporters import Exporters, Run
from gatepost.services.exporting import Ask, End, Go, Order, Piece, Refusal, Said, Setup, Size, frame, said_decoder
from gatepost.services.scratch import Scratch
from gatepost.store.beside import Beside
from gatepost.store.opening import DATABASE
from gatepost.store.secrets import Unsealable

pytestmark = pytest.mark.anyio

EXCEL = "application/vnd.ms-excel"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV = "text/csv"
SKIP = {"action": "URIDNSBL_SKIP_DOMAIN"}
Rows = list[list[Any]]


class Tenant:
    """A domain with something in each of the six lists."""

    def __init__(self, api: Api, domain: Any, user: Any) -> None:
        self.api = api
        self.domain_id = api.ids.read(domain["id"])
        self.domain = f"/domains/{domain['id']}"
        self.user = f"/users/{user['id']}"
        self.lists = [
            f"{self.domain}/filters/attachments",
            f"{self.domain}/filters/uris",
            f"{self.domain}/wblist",
            f"{self.user}/wblist",
            f"{self.domain}/users",
            f"{self.domain}/groups",
        ]


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    return await furnished(api)


@pytest.fixture(scope="module")
async def standing(shared: Api) -> Tenant:
    """One for those who only read."""
    return await furnished(shared)


async def furnished(api: Api) -> Tenant:
    domain = await api.domain("got.com")
    made = Tenant(api, domain, await api.user("jon@got.com", domain["id"], firstname="Jon", lastname=None))
    attachment = {"action": "DENY", "checkType": "FILENAME", "filter": r"\.exe$"}
    await api.make(made.lists[0], attachment)
    await api.make(made.lists[1], {**SKIP, "filter": "wall.test"})
    for path in made.lists[2:4]:
        rules = [{"value": "a.test", "type": "BLOCK"}, {"value": "b.test", "type": "ALLOW", "spfOn": True}]
        await api.make(path, rules)
    await api.make(made.lists[5], {"email": "watch@got.com", "recipients": ["jon@got.com", "sam@wall.test"]})
    return made


async def fetch(api: Api, path: str, accept: str) -> httpx2.Response:
    answer = await api.ask("GET", path, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


def sheet(content: bytes) -> Rows:
    book = openpyxl.load_workbook(io.BytesIO(content))
    return [[cell.value for cell in row] for row in book.worksheets[0].iter_rows()]


def table(content: bytes) -> Rows:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


async def rows(api: Api, path: str, accept: str = CSV) -> Rows:
    content = (await fetch(api, path, accept)).content
    return table(content) if accept == CSV else sheet(content)


async def many(api: Api, tenant: Tenant, count: int) -> None:
    """Make accounts straight in the store: more than a chunk, firstname and lastname now and then the same or none."""
    made = [
        User(
            domain_id=tenant.domain_id,
            email=f"u{number:04}@got.com",
            firstname=None if number % 7 == 0 else f"First {number % 5}",
            lastname=f"last {number % 600}" if number % 2 else f"LAST {number % 600}",
            language=Language.EN,
            creation_date=NOW + number // 3,
            last_connection_date=None if number % 4 else NOW - number,
        )
        for number in range(count)
    ]
    await api.store.write(lambda writer: [writer.add(user) for user in made])


# The six lists.


@pytest.mark.parametrize("accept", SUFFIX)
@pytest.mark.parametrize("which", range(6))
async def test_each_list_comes_as_a_file_with_one_row_an_entry(standing: Tenant, which: int, accept: str) -> None:
    path = standing.lists[which]
    entries = await standing.api.get(path)
    answer = await fetch(standing.api, path, accept)
    head, *body = table(answer.content) if accept == CSV else sheet(answer.content)
    assert head == list(entries[0]) and len(body) == len(entries)
    assert answer.headers["Content-Type"].split(";")[0] == accept
    name = f"{path.rpartition('/')[2]}.{SUFFIX[accept]}"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["X-Total-Count"] == str(len(entries))
    assert [row[head.index("id")] for row in body] == [entry["id"] for entry in entries]


async def test_a_cell_holds_what_the_member_says(standing: Tenant) -> None:
    (shown,) = await standing.api.get(standing.lists[4])
    head, row = await rows(standing.api, standing.lists[4], EXCEL)
    cells = dict(zip(head, row, strict=True))
    assert cells["email"] == "jon@got.com" and cells["firstname"] == "Jon" and cells["lastname"] is None
    assert cells["senderVerifyOn"] is True and cells["status"] == "ENABLED"
    assert cells["creationDate"] == datetime(2026, 3, 25, 16, 50, 46)
    assert cells["policy"] == shown["policy"]["name"] and cells["platform"] == shown["platform"]["name"]
    head, row = await rows(standing.api, standing.lists[4])
    cells = dict(zip(head, row, strict=True))
    assert cells["lastname"] == "" and cells["senderVerifyOn"] == "true"
    assert cells["creationDate"] == "2026-03-25T16:50:46Z" and cells["domainId"] == shown["domainId"]
    _, row = await rows(standing.api, standing.lists[5])
    assert row[-1] == "jon@got.com, sam@wall.test"


async def test_an_empty_list_has_its_head(api: Api) -> None:
    domain = await api.domain("empty.test")
    for accept in (EXCEL, CSV):
        assert len(await rows(api, f"/domains/{domain['id']}/users", accept)) == 1


# Formulas (threat 129).


async def test_no_cell_becomes_a_formula(tenant: Tenant) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1+1", '=HYPERLINK("http://x.test")']
    for number, text in enumerate(texts):
        rule = {"action": "DENY", "checkType": "FILENAME", "filter": f"x{number}", "description": text}
        await tenant.api.make(tenant.lists[0], rule)
    written = [row[-2] for row in await rows(tenant.api, tenant.lists[0])]
    book = openpyxl.load_workbook(io.BytesIO((await fetch(tenant.api, tenant.lists[0], EXCEL)).content))
    cells = [cell for row in book.worksheets[0].iter_rows() for cell in row]
    for text in texts:
        assert f"'{text}" in written and text not in written
        found = [cell for cell in cells if cell.value == text]
        assert [(cell.data_type, cell.quotePrefix, cell.hyperlink) for cell in found] == [("s", True, None)]


async def test_every_cell_of_a_csv_is_quoted(tenant: Tenant) -> None:
    text = 'say "hi", then\r\nleave'
    await tenant.api.make(tenant.lists[1], {**SKIP, "filter": "comma.test", "description": text})
    content = (await fetch(tenant.api, tenant.lists[1], CSV)).content
    assert all(line.startswith(b'"') for line in content.split(b"\r\n")[:2])
    assert text in [row[-2] for row in table(content)]


async def test_what_xml_can_not_say_harms_no_workbook(tenant: Tenant) -> None:
    text = "a\ufffe\uffffb 😀 \u202e <&>"
    await tenant.api.make(tenant.lists[1], {**SKIP, "filter": "odd.test", "description": text})
    cells = [row[-2] for row in await rows(tenant.api, tenant.lists[1], XLSX)]
    assert "a\ufffd\ufffdb 😀 \u202e <&>" in cells


# Windows, filters, order, chunks.


@pytest.mark.parametrize("accept", [EXCEL, CSV])
async def test_a_file_has_all_of_the_list_unless_a_window_is_asked_for_contract_a48(
    tenant: Tenant, accept: str
) -> None:
    await many(tenant.api, tenant, 60)
    assert len(await rows(tenant.api, tenant.lists[4], accept)) == 1 + 61
    assert len(await rows(tenant.api, f"{tenant.lists[4]}?pageSize=7", accept)) == 1 + 7
    assert len(await rows(tenant.api, f"{tenant.lists[4]}?offset=2", accept)) == 1 + 40
    assert len(await rows(tenant.api, f"{tenant.lists[4]}?offset=60", accept)) == 1 + 1
    answer = await fetch(tenant.api, f"{tenant.lists[4]}?pageSize=7", accept)
    assert answer.headers["X-Total-Count"] == "61"


SORTS = ["email", "firstname", "lastname", "status", "creationDate", "lastConnectionDate", "id"]


async def test_the_order_holds_over_all_chunks(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CHUNK", 20)
    await many(tenant.api, tenant, 47)
    for sort in (*SORTS, *(f"-{name}" for name in SORTS)):
        page = await tenant.api.get(f"{tenant.lists[4]}?sort={sort}&pageSize=1000")
        given = [row[0] for row in (await rows(tenant.api, f"{tenant.lists[4]}?sort={sort}"))[1:]]
        assert given == [entry["id"] for entry in page], sort
        assert len(set(given)) == 48


async def test_filters_hold_over_all_chunks(tenant: Tenant) -> None:
    await many(tenant.api, tenant, 520)
    asked = {"email=u00*": 100, "email=*9@got.com": 52, "platformName=platform": 521, "platformName=x": 0}
    for filter, count in asked.items():
        assert len(await rows(tenant.api, f"{tenant.lists[4]}?{filter}")) == 1 + count, filter


async def test_a_filter_on_recipients_holds_over_all_chunks(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "CHUNK", 2)
    for number in range(7):
        asked = {"email": f"g{number}@got.com", "recipients": ["sam@wall.test"] if number % 3 else []}
        await tenant.api.make(tenant.lists[5], asked)
    found = await rows(tenant.api, f"{tenant.lists[5]}?recipient=sam@*&sort=-email")
    assert [row[1] for row in found[1:]] == ["watch@got.com", *(f"g{number}@got.com" for number in (5, 4, 2, 1))]


async def test_what_changes_meanwhile_neither_repeats_nor_loses_a_row(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many(tenant.api, tenant, 20)
    monkeypatch.setattr(exports, "CHUNK", 5)
    asked = 0

    async def ask(query: Query) -> Any:
        nonlocal asked
        asked += 1
        new = User(domain_id=tenant.domain_id, email=f"a{asked}@got.com", language=Language.EN, creation_date=NOW)
        await tenant.api.store.write(lambda writer: writer.add(new))  # before all that was given so far
        mine = every(eq("domain_id", tenant.domain_id), query.where)
        return await tenant.api.store.read(
            lambda reader: reader.find(User, Query(where=mine, sort=query.sort, limit=query.limit, total=query.total))
        )

    pages = [page async for page in exports.walk(ask, Query(sort="email", total=True))]
    emails = [user.email for page in pages for user in page.items]
    assert emails == ["a1@got.com", "jon@got.com", *(f"u{number:04}@got.com" for number in range(20))]
    assert [page.total is not None for page in pages] == [True, *[False] * 4]


async def receive() -> Message:
    """Say nothing: the client waits."""
    return await asyncio.get_running_loop().create_future()


async def leave() -> Message:
    """Leave as soon as somebody waits for it; who only looks finds the client still there."""
    await asyncio.sleep(0)
    return {"type": "http.disconnect"}


def scope(path: str, token: str, accept: str = CSV) -> dict[str, Any]:
    """Return the scope of a request for a list as a file."""
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"accept", accept.encode())]
    return {
        **{"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"},
        **{"method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b""},
        **{"headers": headers, "client": ("192.0.2.1", 40_000), "server": ("192.0.2.2", 80)},
    }


async def test_a_token_that_is_deleted_ends_the_answer(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    await many(tenant.api, tenant, 20)
    monkeypatch.setattr(exports, "CHUNK", 5)
    admin = await tenant.api.admin("varys", sys_admin=True)
    token = await tenant.api.token_of(admin_id=admin.id)
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if len(sent) == 3:  # the start, the head, a chunk
            await tenant.api.store.write(lambda writer: writer.remove(Token, eq("digest", digest(token))))

    with pytest.raises(Problem) as end:
        await tenant.api.app(scope(tenant.lists[4], token), receive, send)
    assert end.value.kind is Kind.UNAUTHENTICATED and len(table(b"".join(sent))) == 1 + 5


async def test_a_workbook_that_nobody_waits_for_is_given_up(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    await many(tenant.api, tenant, 20)
    monkeypatch.setattr(exports, "CHUNK", 5)
    sent: list[Message] = []
    told: Iterator[Message] = chain(
        [{"type": "http.request", "body": b"", "more_body": False}], repeat({"type": "http.disconnect"})
    )

    async def receive() -> Message:
        return next(told)

    async def send(message: Message) -> None:
        sent.append(message)

    await tenant.api.app(scope(tenant.lists[4], tenant.api.token, XLSX), receive, send)
    assert sent[0]["status"] == 503


async def test_a_rule_list_of_many_chunks(tenant: Tenant) -> None:
    rules = [
        SenderRule(
            domain_id=tenant.domain_id,
            owner="got.com",
            value=f"v{number}.test",
            type=SenderType.BLOCK,
            created_date=NOW,
        )
        for number in range(1100)
    ]
    await tenant.api.store.write(lambda writer: [writer.add(rule) for rule in rules])
    for query in ("", "?sort=-expireAt", "?sort=spfOn", "?type=BLOCK"):
        found = [row[0] for row in (await rows(tenant.api, tenant.lists[2] + query))[1:]]
        assert len(found) == len(set(found)) == 1102 - ("type" in query), query


# Which form.


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ([], "application/json"),
        ([""], "application/json"),
        (["*/*"], "application/json"),
        (["application/*"], "application/json"),
        (["text/*"], CSV),
        ([EXCEL], EXCEL),
        (["Application/VND.ms-excel ; q=0.5"], EXCEL),
        ([f"{CSV};charset=utf-8"], CSV),
        ([f"{EXCEL};q=0.5, {CSV};q=0.8"], CSV),
        (["application/json;q=0.1", f"{XLSX};q=1.0"], XLSX),
        ([f"*/*;q=0.1, {EXCEL}"], EXCEL),
        ([f"application/json;q=0, */*;q=0.5, {EXCEL};q=0"], XLSX),
        ([f"rubbish, {CSV}"], CSV),
    ],
)
def test_the_form_that_the_client_likes_best_is_chosen(accept: list[str], chosen: str) -> None:
    assert choose(accept, ("application/json", *SUFFIX)) == chosen


@given(st.text(alphabet="aq*/;=,. 019-x", max_size=40))
def test_an_accept_is_answered_or_refused_whatever_it_says(text: str) -> None:
    try:
        assert choose([text], ("application/json", *SUFFIX)) in ("application/json", *SUFFIX)
    except Problem as problem:
        assert problem.kind is Kind.NOT_ACCEPTABLE


@pytest.mark.parametrize("accept", ["text/html", "rubbish", "application/json;q=0", f"{EXCEL};q=2", "image/*"])
async def test_what_is_not_offered_is_refused(standing: Tenant, accept: str) -> None:
    answer = await standing.api.ask("GET", standing.lists[4], headers={"Accept": accept})
    assert answer.status_code == 406 and EXCEL in answer.json()["message"]


async def test_other_operations_answer_json_whatever_is_asked(standing: Tenant) -> None:
    for path in ("/users", standing.user, "/domains"):
        answer = await standing.api.ask("GET", path, headers={"Accept": EXCEL})
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", [EXCEL, CSV])
async def test_refusals_are_json_whatever_is_asked(standing: Tenant, accept: str) -> None:
    headers = {"Accept": accept}
    for path, status in (
        ("/domains/none/users", 404),
        (f"{standing.lists[4]}?sort=x", 400),
        (f"{standing.lists[4]}?offset=-1", 400),
    ):
        answer = await standing.api.ask("GET", path, headers=headers)
        assert answer.status_code == status and answer.json()["status"] == status
    assert (await standing.api.ask("GET", standing.lists[4], headers=headers, token=None)).status_code == 401


async def test_the_head_of_a_file(standing: Tenant) -> None:
    answer = await standing.api.ask("HEAD", standing.lists[4], headers={"Accept": EXCEL})
    assert answer.status_code == 200 and answer.content == b"" and int(answer.headers["Content-Length"]) > 1000


# The workbook itself.


def test_a_full_sheet_goes_on_in_the_next_and_long_texts_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.api.workbook.LAST_ROW", 3)
    columns = [
        Column("n", Sort.NUMBER, list),
        Column("text", Sort.TEXT, lambda entries: ["x" * 40_000 for _ in entries]),
    ]
    book = Workbook(columns, RISKY, Scratch(Path()))
    book.add(range(2))
    book.add(range(2, 7))
    file, size = book.finish()
    with file:
        content = file.read()
    assert len(content) == size
    found = openpyxl.load_workbook(io.BytesIO(content))
    assert [[row[0].value for row in each.iter_rows()] for each in found.worksheets] == [
        ["n", 0, 1, 2],
        ["n", 3, 4, 5],
        ["n", 6],
    ]
    assert found.worksheets[0]["B2"].value == "x" * LONGEST and LAST_ROW == 2**20 - 1


ODD = st.text(alphabet="ab<>&'\"_x0041_ \t\r\n\u2003\x85\ufffdé😀=+-@＝", max_size=12)
MOMENTS = st.integers(0, 253_402_300_799_999)
ENTRIES = st.lists(
    st.tuples(
        st.none() | ODD, st.none() | MOMENTS, st.none() | st.booleans(), st.none() | st.integers(-(2**53), 2**53)
    ),
    max_size=30,
)


def part(content: bytes, name: str = "xl/worksheets/sheet1.xml") -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return file.read(name)


def styles_apart(text: bytes) -> bytes:
    """Without the numbers of the styles, which go by the order in which each was first wanted."""
    return re.sub(rb' s="[23]"', b' s=""', text)


@given(ENTRIES)
def test_rows_are_written_as_the_library_would_write_them(entries: list[tuple[Any, ...]]) -> None:
    sorts = (Sort.TEXT, Sort.MOMENT, Sort.FLAG, Sort.NUMBER)
    columns = [Column("n", Sort.NUMBER, lambda entries: [1 for _ in entries])]
    columns += [
        Column(sort.name, sort, lambda entries, at=at: [entry[at] for entry in entries])
        for at, sort in enumerate(sorts)
    ]
    book = Workbook(columns, RISKY, Scratch(Path()))
    book.add(entries[:16])
    book.add(entries[16:])
    file, _ = book.finish()
    with file:
        written = part(file.read())
    kept = io.BytesIO()
    with xlsxwriter.Workbook(kept, {"constant_memory": True, "remove_timezone": True}) as other:
        bold, date = other.add_format({"bold": True}), other.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        typed = other.add_format({"quote_prefix": True})
        sheet = other.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, 4, WIDTH)
        sheet.write_row(0, 0, [column.name for column in columns], bold)
        for row, (text, moment, flag, number) in enumerate(entries, 1):
            sheet.write_number(row, 0, 1)
            if text is not None:
                sheet.write_string(row, 1, text, typed if text[:1] in RISKY else None)
            if moment is not None:
                sheet.write_datetime(row, 2, datetime.fromtimestamp(moment // 1000, UTC), date)
            if flag is not None:
                sheet.write_boolean(row, 3, flag)
            if number is not None:
                sheet.write_number(row, 4, number)
    assert styles_apart(written) == styles_apart(part(kept.getvalue()))


async def test_what_looks_like_a_marked_up_text_is_none(tenant: Tenant) -> None:
    text = "<r><t>a</t></r>"
    await tenant.api.make(tenant.lists[1], {**SKIP, "filter": "marked.test", "description": text})
    assert text in [row[-2] for row in await rows(tenant.api, tenant.lists[1], XLSX)]


async def test_nothing_stays_on_the_disc(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    assert len(await rows(tenant.api, tenant.lists[4], EXCEL)) == 2
    asked = 0

    async def ask(_: Query) -> Page[Any]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Problem(Kind.FORBIDDEN, "The right was taken away meanwhile.")
        page = await tenant.api.store.read(lambda reader: reader.find(User, Query()))
        return Page(page.items * exports.CHUNK, exports.CHUNK)

    async def none() -> None:
        """There is no exporter."""

    async def awaited(work: Coroutine[Any, Any, int]) -> int:
        return await work

    scratch = Scratch(tenant.api.store.path)
    export = Export(User, tenant.api.ids, EXCEL, "users", scratch)
    with pytest.raises(Problem, match="taken away"):
        await export.answer(ask, Query(), lambda _: {}, asyncio.Semaphore(), none, awaited)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_start_takes_away_what_a_kill_left_of_files(tmp_path: Path) -> None:
    with Scratch(tmp_path / "store").folder() as left, Scratch(tmp_path / "another").folder() as anothers:
        Path(left, "book.xlsx").touch()
        api = open_api(tmp_path / "store")
        assert not Path(left).exists() and Path(anothers).exists()
        api.store.close_sync()


async def test_a_disc_without_room_is_told(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    answer = await tenant.api.ask("GET", tenant.lists[4], headers={"Accept": EXCEL})
    assert answer.status_code == 507
    assert len(await rows(tenant.api, tenant.lists[4])) == 2


# Exporters.

SYSADMIN = Caller(sys_admin=True)
USERS = "gatepost.api.admin.users", "list_domain_users"


class Daemon:
    """The daemon's side of a talk with an exporter that runs in a thread here; it asks as `caller`."""

    def __init__(self, api: Api, version: str = "") -> None:
        self.caller = SYSADMIN
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(60)
        self._source = self.ours.makefile("rb")
        self.failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._serve, args=(theirs,))
        self._thread.start()
        self.send(Setup(version or installed(), str(api.store.database), api.store.derived("ids")))

    def _serve(self, theirs: socket.socket) -> None:
        try:
            asyncio.run(serve(Talk(theirs)))
        except (EOFError, SystemExit) as error:
            self.failure.append(error)
        theirs.shutdown(socket.SHUT_RDWR)

    def send(self, message: Setup | Order | Go) -> None:
        self.ours.sendall(frame(message))

    def hear(self) -> Said:
        head = self._source.read(LENGTH.size)
        if not head:
            raise EOFError
        return said_decoder.decode(self._source.read(LENGTH.unpack(head)[0]))

    def made(self, order: Order) -> Iterator[Said]:
        """Have a file made, and yield what is said of it up to its end."""
        self.send(order)
        while True:
            said = self.hear()
            if isinstance(said, Ask):
                self.send(Go(self.caller))
                continue
            yield said
            if isinstance(said, End | Refusal):
                return

    def close(self) -> None:
        self._source.close()
        self.ours.close()
        self._thread.join()


@pytest.fixture
async def daemon(tenant: Tenant) -> AsyncIterator[Daemon]:
    made = Daemon(tenant.api)
    assert await asyncio.to_thread(made.hear) == End()
    yield made
    await asyncio.to_thread(made.close)


def order(tenant: Tenant, media: str, query: bytes = b"") -> Order:
    return Order(*USERS, [tenant.domain.rpartition("/")[2]], query, media)


async def test_an_exporter_makes_the_daemons_file_chunk_by_chunk(
    tenant: Tenant, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK", 50)
    monkeypatch.setattr(exporter, "PIECE", 1)
    await many(tenant.api, tenant, 120)
    for query in ("", "sort=-lastname", "email=u00*&pageSize=70&offset=50"):
        own = (await fetch(tenant.api, f"{tenant.lists[4]}?{query}", CSV)).content
        *pieces, end = await asyncio.to_thread(lambda q=query: [*daemon.made(order(tenant, CSV, q.encode()))])
        assert end == End() and b"".join(piece.data for piece in pieces) == own
        assert len(pieces) == 2 + len(table(own)[1:]) // 50
    monkeypatch.setattr(exporter, "MOST", 4000)
    *pieces, end = await asyncio.to_thread(lambda: [*daemon.made(order(tenant, CSV, query.encode()))])
    assert b"".join(piece.data for piece in pieces) == own and max(len(piece.data) for piece in pieces) == 4000
    own = (await fetch(tenant.api, tenant.lists[4], XLSX)).content
    size, *pieces, end = await asyncio.to_thread(lambda: [*daemon.made(order(tenant, XLSX))])
    book = b"".join(piece.data for piece in pieces)
    assert size == Size(len(book)) and end == End() and part(book) == part(own)


async def test_an_exporter_asks_before_each_chunk_and_goes_on_after_a_refusal(
    tenant: Tenant, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK", 2)
    monkeypatch.setattr(exporter, "PIECE", 1)
    monkeypatch.setattr(exporter, "FRESH", 0.0)
    await many(tenant.api, tenant, 5)

    def work() -> None:
        said = daemon.made(order(tenant, CSV))
        assert isinstance(next(said), Piece) and isinstance(next(said), Piece)
        daemon.caller = Caller()
        assert next(said) == Refusal(Kind.FORBIDDEN, "This account may not do that.")
        daemon.caller = SYSADMIN
        (refused,) = daemon.made(order(tenant, CSV, b"sort=nothing"))
        assert isinstance(refused, Refusal) and refused.kind is Kind.MALFORMED
        assert len([*daemon.made(order(tenant, CSV))]) == 1 + 3 + 1

    await asyncio.to_thread(work)


async def test_an_exporter_of_another_version_makes_nothing(api: Api) -> None:
    made = Daemon(api, version="0.0.0")
    with pytest.raises(EOFError):
        await asyncio.to_thread(made.hear)
    await asyncio.to_thread(made.close)
    (failure,) = made.failure
    assert isinstance(failure, SystemExit) and failure.code == os.EX_CONFIG


async def test_nothing_is_written_or_unsealed_beside_the_daemon(api: Api, tmp_path: Path) -> None:
    store = Beside(api.store.database)
    with pytest.raises(Problem, match="only read"):
        await store.write(lambda writer: writer.remove(User, eq("email", "jon@got.com")))
    with pytest.raises(Unsealable):
        store.secrets.unseal(api.store.secrets.seal("secret"))
    killed = Path(shutil.copytree(api.store.path, tmp_path / "killed", ignore=shutil.ignore_patterns("*.sock")))
    wal = (killed / f"{DATABASE}-wal").read_bytes()
    assert wal
    alone = Beside(killed / DATABASE)
    assert alone.reader.first(Admin, eq("sys_admin", True))
    await alone.close()
    del alone
    gc.collect()
    assert (killed / f"{DATABASE}-wal").read_bytes() == wal, "the log is the next daemon's, though nobody else is there"


@pytest.fixture
async def exporters(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Exporters]:
    """The exporters of an API that has them make every file, however short; at the end nothing of theirs is left."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(exports, "LONG", 0)
    made = tenant.api.counter.of(Exporters)
    yield made
    await made.close()
    assert made.pids == [] and list((tmp_path / "tmp").iterdir()) == []


async def begun(exporters: Exporters, tenant: Tenant, media: str = CSV) -> Run:
    async def prove() -> Caller:
        return SYSADMIN

    run = await exporters.begin(order(tenant, media), prove)
    assert run is not None
    return run


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def pid_of(run: Run) -> int:
    assert run.pid is not None
    return run.pid


@pytest.mark.conformance
async def test_each_list_is_the_same_file_whoever_makes_it(
    tenant: Tenant, exporters: Exporters, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, list[bytes]] = {}
    for long in (0, 1000):
        monkeypatch.setattr(exports, "LONG", long)
        for path in tenant.lists:
            files = [(await fetch(tenant.api, path, accept)).content for accept in (CSV, XLSX)]
            found.setdefault(path, []).extend((files[0], part(files[1])))
    assert [files[:2] for files in found.values()] == [files[2:] for files in found.values()]
    (pid,) = exporters.pids  # one made them all
    assert oom_score(pid) == 1000, "memory that runs out costs it, not the daemon"
    assert os.getpriority(os.PRIO_PROCESS, pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + exporter.NICE)
    monkeypatch.setattr(exports, "LONG", 0)
    assert (await tenant.api.ask("HEAD", tenant.lists[4], headers={"Accept": CSV})).content == b""
    await ended(pid)


@pytest.mark.conformance
async def test_a_file_that_is_given_up_ends_its_exporter_and_an_exporter_that_dies_its_file(
    tenant: Tenant, exporters: Exporters
) -> None:
    given_up, cut = await begun(exporters, tenant, XLSX), await begun(exporters, tenant)
    assert len(await rows(tenant.api, tenant.lists[4])) == 2, "where there are no more the daemon makes it"
    assert await given_up.size()
    await given_up.aclose()
    await ended(pid_of(given_up))
    os.kill(pid_of(cut), signal.SIGKILL)
    with pytest.raises(Problem) as failed:
        await anext(cut)
    assert failed.value.kind is Kind.UNAVAILABLE
    await asyncio.gather(*exporters._ends)
    assert exporters.pids == []


@pytest.mark.conformance
async def test_a_client_that_leaves_and_a_right_that_is_withdrawn_end_the_exporter(
    tenant: Tenant, exporters: Exporters
) -> None:
    async def withdrawn() -> Caller:
        raise Problem(Kind.FORBIDDEN, "The right was taken away meanwhile.")

    run = await exporters.begin(order(tenant, CSV), withdrawn)
    assert run is not None
    with pytest.raises(Problem, match="taken away"):
        await anext(run)
    await ended(pid_of(run))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 2:  # the start, a piece
            raise OSError

    with contextlib.suppress(ClientDisconnect):
        await tenant.api.app(scope(tenant.lists[4], tenant.api.token), receive, send)
    await asyncio.gather(*exporters._ends)
    assert exporters.pids == []
    assert len(await rows(tenant.api, tenant.lists[4])) == 2
    (pid,) = exporters.pids
    os.kill(pid, signal.SIGSTOP)  # it is at a workbook for long
    sent.clear()
    with contextlib.suppress(OSError):
        await tenant.api.app(scope(tenant.lists[4], tenant.api.token, XLSX), leave, send)
    await asyncio.gather(*exporters._ends)
    assert exporters.pids == [] and sent[0]["status"] == 503


@pytest.mark.conformance
async def test_an_exporter_without_work_ends_and_none_is_begun_after_the_close(tenant: Tenant) -> None:
    exporters = Exporters(tenant.api.store.database, tenant.api.store.derived("ids"), 1, idle=0.01)
    run = await begun(exporters, tenant)
    assert [piece async for piece in run]
    await ended(pid_of(run))
    await exporters.close()
    await exporters.close()
    assert await exporters.begin(order(tenant, CSV), run._prove) is None


async def test_there_are_no_more_exporters_than_the_setting_says(tenant: Tenant) -> None:
    async def prove() -> Caller:
        raise AssertionError("nobody reads anything")

    assert await Exporters(tenant.api.store.database, b"", 0).begin(order(tenant, CSV), prove) is None


async def test_where_no_exporter_can_be_started_the_daemon_makes_the_file_and_rests(
    tenant: Tenant, exporters: Exporters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for _ in range(2):
        assert len(await rows(tenant.api, tenant.lists[4])) == 2
        await asyncio.gather(*exporters._ends)
    assert exporters.pids == []
