"""Files brought before a mail, drafts and signatures over HTTP: what is kept, for whom, and when it goes."""

import base64
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from tests.api.kept import Desk, open_desk
from tests.house import overtaking

from gatepost.model.outgoing import Upload
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, eq
from gatepost.model.tenant import User
from gatepost.services.members import rename
from gatepost.services.rights import Book
from gatepost.services.uploads import Uploads
from gatepost.settings import StoreSettings
from gatepost.store.check import verify
from gatepost.store.item import Pace
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio

BOB = "/users/bob@served.example/emails"
DAY = 24 * 3_600_000
LIMITS = {"upload_files": 3, "upload_user_bytes": 900_000, "upload_bytes": 1_500_000, "drafts": 2}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, sending=LIMITS, limits={"message_bytes": 800_000}) as desk:
        held = desk.house.store.reader.first(Policy, All(()))
        assert held is not None
        await desk.house.store.write(lambda writer: writer.change(Policy, held.id, outgoing=True))
        yield desk


@pytest.fixture
async def eve(desk: Desk) -> str:
    await desk.house.user("eve@served.example")
    return await desk.token_of("eve@served.example")


def form(data: bytes, name: str = "a.txt", media: str = "text/plain", *, field: str = "file") -> bytes:
    head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: {media}\r\n\r\n'
    return b"--b\r\n" + head.encode() + data + b"\r\n--b--\r\n"


async def post(desk: Desk, raw: bytes, *, media: str = "multipart/form-data; boundary=b", token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token or desk.bob}", "Content-Type": media}
    transport = httpx2.ASGITransport(desk.house.gatepost.site, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gatepost.test") as client:
        return await client.post("/emails/attachments", content=raw, headers=headers)


async def upload(desk: Desk, data: bytes = b"octets", *more: str, token: str = "") -> dict[str, Any]:
    answer = await post(desk, form(data, *more), token=token)
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


async def send(desk: Desk, *files: dict[str, Any], token: str = "", **members: Any) -> httpx2.Response:
    attachments = [{"uid": each["uid"], "name": each["name"]} for each in files]
    body = {"to": ["ada@world.example"], "body": "x", "attachments": attachments, **members}
    return await desk.ask("POST", f"{BOB}/send", body, token=token or desk.bob)


async def left(desk: Desk) -> tuple[int, int]:
    """Rows of uploads, and files under the spool once those that nobody needs are removed."""
    await desk.house.store.write(lambda writer: None, pace=Pace.SLOW)
    spool = desk.house.store.path / "spool"
    return desk.house.store.reader.count(Upload, All(())), len([each for each in spool.glob("*/*") if each.is_file()])


# Bringing and fetching.


async def test_an_uploaded_file_is_told_fetched_and_deleted(desk: Desk) -> None:
    data = bytes(range(256))
    told = await upload(desk, data, "Größe (1).bin", "application/x-thing")
    assert (told["name"], told["type"], told["size"]) == ("Größe (1).bin", "application/x-thing", 256)
    path = told["uri"].removeprefix("https://gate.example")
    answer = await desk.ask("GET", path, token=desk.bob)
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["Content-Disposition"].endswith("filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%281%29.bin")
    gone = await desk.ask("DELETE", path, token=desk.bob)
    assert (gone.status_code, gone.content) == (200, b"")
    assert (await desk.ask("GET", path, token=desk.bob)).status_code == 404
    assert (await desk.ask("DELETE", path, token=desk.bob)).status_code == 404
    assert await left(desk) == (0, 0)


async def test_a_picture_is_shown_unless_it_is_to_be_saved(desk: Desk) -> None:
    told = await upload(desk, b"\x89PNG", "p.png", "image/png")
    path = told["uri"].removeprefix("https://gate.example")
    for query, way in (("", "inline"), ("?dl=false", "inline"), ("?dl=true", "attachment")):
        answer = await desk.ask("GET", path + query, token=desk.bob)
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"].startswith(f"{way}; ")


async def test_a_large_file_is_a_file_and_goes_with_its_row(desk: Desk) -> None:
    data = bytes(700_000)
    told = await upload(desk, data, "large.bin")
    assert await left(desk) == (1, 1)
    path = told["uri"].removeprefix("https://gate.example")
    assert (await desk.ask("GET", path, token=desk.bob)).content == data
    assert verify(desk.house.store.path, StoreSettings(directory=str(desk.house.store.path))) == []
    await desk.ask("DELETE", path, token=desk.bob)
    await desk.house.store.write(lambda writer: None)  # what a commit leaves is removed before the next begins
    assert await left(desk) == (0, 0)


NAMES = [
    ("../../x", "x"),
    ("C:\\\\x", "x"),
    ("%2e%2e%2f", "%2e%2e%2f"),
    ("CON.txt", "_CON.txt"),
    ("x" * 300 + ".pdf", "x" * 120 + ".pdf"),
    ("", "file"),
    ("a\u202egpj.exe", "a_u202egpj.exe"),
]


async def test_threat_120_a_file_is_kept_under_a_harmless_name(desk: Desk) -> None:
    for given, kept in NAMES:  # one after the other: only so many wait
        told = await upload(desk, b"x", given)
        assert told["name"] == kept
        path = told["uri"].removeprefix("https://gate.example")
        assert (await desk.ask("GET", path, token=desk.bob)).status_code == 200
        assert (await desk.ask("DELETE", path, token=desk.bob)).status_code == 200


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "a\u2028b"])
async def test_threat_119_a_name_with_controls_is_refused(desk: Desk, bad: str) -> None:
    assert (await post(desk, form(b"x", bad))).status_code == 400
    assert await left(desk) == (0, 0)


# Whose.


async def test_threat_116_another_users_file_is_not_there(desk: Desk, eve: str) -> None:
    told = await upload(desk)
    path = told["uri"].removeprefix("https://gate.example")
    for token in (eve, desk.root):
        for method in ("GET", "DELETE"):
            assert (await desk.ask(method, path, token=token)).status_code in (403, 404)
    body = {"to": ["ada@world.example"], "attachments": [{"uid": told["uid"], "name": "x"}]}
    answer = await desk.ask("POST", "/users/eve@served.example/emails/send", body, token=eve)
    assert (answer.status_code, answer.json()["pointer"]) == (404, "/attachments/0/uid")
    assert (await left(desk))[0] == 1
    for other in ("0" * 32, "..%2f", "%00", "x"):
        assert (await desk.ask("GET", f"/emails/attachments/{other}/a.txt", token=desk.bob)).status_code == 404
    assert (await desk.ask("GET", f"/emails/attachments/{told['uid']}/b.txt", token=desk.bob)).status_code == 404


async def test_files_are_brought_by_users_alone(desk: Desk) -> None:
    assert (await post(desk, form(b"x"), token=desk.root)).status_code == 403
    assert (await post(desk, form(b"x"), token="f" * 32)).status_code == 401


# Forms (threat 124).


BAD_FORMS = [
    (form(b"x"), "multipart/form-data", 400),
    (form(b"x"), "multipart/form-data; boundary=" + "b" * 71, 400),
    (form(b"x"), "application/json", 415),
    (form(b"x"), "text/plain", 415),
    (b"", "multipart/form-data; boundary=b", 400),
    (form(b"x")[:-8], "multipart/form-data; boundary=b", 400),
    (b"junk", "multipart/form-data; boundary=b", 400),
    (form(b"x", field="other"), "multipart/form-data; boundary=b", 400),
    (form(b"x")[:-5] + b"\r\n" + form(b"y"), "multipart/form-data; boundary=b", 400),
    (form(b"x", field="f")[:-4] * 1000, "multipart/form-data; boundary=b", 400),
    (form(b"x", media="t/p\r\nX-A: " + "a" * 9000), "multipart/form-data; boundary=b", 400),
    (form(b"x").replace(b"a.txt", b"\xff"), "multipart/form-data; boundary=b", 400),
]


async def test_threat_124_a_bad_form_leaves_nothing_behind(desk: Desk) -> None:
    for raw, media, status in BAD_FORMS:
        answer = await post(desk, raw, media=media)
        assert answer.status_code == status, answer.text
        assert await left(desk) == (0, 0)


async def test_other_fields_of_a_form_are_passed_over(desk: Desk) -> None:
    raw = form(b"x", field="note")[: -len(b"--b--\r\n")] + form(b"octets", "b.txt")
    answer = await post(desk, raw)
    assert (answer.status_code, answer.json()["name"], answer.json()["size"]) == (200, "b.txt", 6)


# Limits (rules 27).


async def test_a_file_is_no_larger_than_a_mail(desk: Desk) -> None:
    assert (await post(desk, form(bytes(800_001)))).status_code == 413
    assert await left(desk) == (0, 0)


async def test_a_user_has_so_many_files_and_so_many_octets(desk: Desk) -> None:
    await upload(desk, bytes(600_000))
    assert (await post(desk, form(bytes(300_001)))).status_code == 413
    for _ in range(2):
        await upload(desk)
    assert (await post(desk, form(b"x"))).status_code == 413
    assert await left(desk) == (3, 1)


async def test_all_users_together_have_so_many_octets(desk: Desk, eve: str) -> None:
    await upload(desk, bytes(750_000))
    await upload(desk, bytes(700_000), token=eve)
    answer = await post(desk, form(bytes(100_000)), token=eve)
    assert answer.status_code == 507


async def test_files_on_their_way_leave_space_to_other_users(desk: Desk, eve: str) -> None:
    """One user, who never ended his, could take all there is: they were counted once they were whole."""
    uploads, bob = desk.house.gatepost.services.of(Uploads), desk.house.store.reader.get(User, 1)
    assert bob is not None
    begun = [uploads.begin(Book(desk.house.store).caller(bob)) for _ in range(2)]
    begun[0].write(bytes(600_000))
    with pytest.raises(Problem) as refused:
        begun[1].write(bytes(300_001))
    assert refused.value.kind is Kind.TOO_LARGE
    begun[1].write(bytes(300_000))
    await upload(desk, bytes(500_000), token=eve)
    for each in begun:
        uploads.end(each)


async def test_what_is_not_sent_goes_after_a_day(desk: Desk) -> None:
    told = await upload(desk, bytes(700_000))
    desk.house.clock.now += DAY
    assert (await desk.ask("GET", told["uri"].removeprefix("https://gate.example"), token=desk.bob)).status_code == 404
    assert (await send(desk, told)).status_code == 404
    await desk.house.store.write(lambda writer: writer.purge(desk.house.clock()))
    assert await left(desk) == (0, 0)


# Sending them.


async def test_files_arrive_under_the_names_that_were_asked_for_and_are_gone(desk: Desk) -> None:
    large, small = await upload(desk, bytes(400_000), "l.bin"), await upload(desk, b"small", "s.txt")
    small["name"] = "Ein Name — mit „Zeichen“.txt"
    assert (await send(desk, large, small)).status_code == 200
    (sent,) = await desk.house.sink.wait(1)
    mail = cast(EmailMessage, message_from_bytes(sent.data, policy=policy.default))
    found = [(each.get_filename(), each.get_payload(decode=True)) for each in mail.iter_attachments()]
    assert found == [("l.bin", bytes(400_000)), (small["name"], b"small")]
    assert (await left(desk))[0] == 0
    assert (await send(desk, small)).status_code == 404


async def test_a_refused_mail_leaves_its_files(desk: Desk) -> None:
    told = await upload(desk)
    assert (await send(desk, told, to=["a@b@c"])).status_code == 400
    assert (await send(desk, told, originId="1" * 32)).status_code == 422
    told["name"] = "a\r\nX: y"
    assert (await send(desk, told)).status_code == 400
    assert (await left(desk))[0] == 1


async def test_a_mail_beyond_the_limit_is_refused(desk: Desk) -> None:
    told = await upload(desk, bytes(700_000))
    assert (await send(desk, told)).status_code == 413
    assert (await send(desk, told, told)).status_code == 413
    assert (await left(desk))[0] == 1


# Drafts.


async def save(desk: Desk, token: str = "", **members: Any) -> httpx2.Response:
    return await desk.ask("POST", f"{BOB}/drafts", members, token=token or desk.bob)


async def test_a_draft_is_listed_read_and_goes_when_it_is_sent(desk: Desk) -> None:
    told = await upload(desk)
    file = [{"uid": told["uid"], "name": "n.txt"}]
    answer = await save(desk, bcc=["x@world.example"], subject="Not yet", body="<p>Half</p>", attachments=file)
    assert answer.status_code == 201, answer.text
    draft = answer.json()["id"]
    (listed,) = await desk.get(f"{BOB}/Drafts", token=desk.bob)
    assert (listed["id"], listed["subject"], listed["hasAttachments"]) == (draft, "Not yet", True)
    read = await desk.get(f"{BOB}/Drafts/{draft}?fields=HEADERS,BODY", token=desk.bob)
    assert read["headers"]["Bcc"] == "x@world.example"
    assert "Half" in read["body"]
    assert (await left(desk))[0] == 1
    assert (await send(desk, told, draftId=draft)).status_code == 200
    assert await desk.get(f"{BOB}/Drafts", token=desk.bob) == []
    assert (await left(desk))[0] == 0
    await desk.house.sink.wait(1)
    assert verify(desk.house.store.path, StoreSettings(directory=str(desk.house.store.path))) == []


async def test_an_empty_draft_can_be_saved_replaced_and_deleted(desk: Desk) -> None:
    first = (await save(desk)).json()["id"]
    second = (await save(desk, subject="Better", draftId=first)).json()["id"]
    assert [each["id"] for each in await desk.get(f"{BOB}/Drafts", token=desk.bob)] == [second]
    assert (await save(desk, draftId=first)).status_code == 422
    assert (await desk.ask("DELETE", f"{BOB}/drafts/{second}", token=desk.bob)).status_code == 204
    assert (await desk.ask("DELETE", f"{BOB}/drafts/{second}", token=desk.bob)).status_code == 404


async def test_a_user_has_so_many_drafts(desk: Desk) -> None:
    saved = [(await save(desk)).json()["id"] for _ in range(2)]
    assert (await save(desk)).status_code == 422
    assert (await save(desk, draftId=saved[0])).status_code == 201


async def test_a_draft_lies_under_the_address_that_its_user_has_once_it_is_written(desk: Desk) -> None:
    bob = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert bob is not None
    first = (await save(desk)).json()["id"]

    def change(writer: Writer) -> None:
        rename(writer, bob, "rob@served.example")
        writer.change(User, bob.id, email="rob@served.example")

    changing = await overtaking(desk.house.store, change)
    path = f"/users/{desk.ids.show(bob.id)}/emails/drafts"
    answer = await desk.ask("POST", path, {"draftId": first}, token=desk.bob)
    await changing
    assert answer.status_code == 201, answer.text
    listed = await desk.get("/users/rob@served.example/emails/Drafts", token=desk.bob)
    assert [each["id"] for each in listed] == [answer.json()["id"]]
    assert {copy.mailbox for copy in desk.house.copies()} == {"rob@served.example"}


async def test_a_draft_is_its_users_alone(desk: Desk, eve: str) -> None:
    draft = (await save(desk)).json()["id"]
    for token in (eve, desk.root):
        assert (await save(desk, token)).status_code == 403
        assert (await desk.ask("DELETE", f"{BOB}/drafts/{draft}", token=token)).status_code == 403
    body = {"to": ["ada@world.example"], "draftId": draft}
    answer = await desk.ask("POST", "/users/eve@served.example/emails/send", body, token=eve)
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/draftId")
    assert len(await desk.get(f"{BOB}/Drafts", token=desk.bob)) == 1


async def test_a_bad_draft_is_refused_and_leaves_nothing(desk: Desk) -> None:
    assert (await save(desk, to=["a@b@c"])).status_code == 400
    assert (await save(desk, subject="a\r\nb")).status_code == 400
    assert (await save(desk, attachments=[{"uid": "1" * 32, "name": "x"}])).status_code == 404
    assert await desk.get(f"{BOB}/Drafts", token=desk.bob) == []


# Signatures (contract 5.16).


HEAVY = "<p>" + "".join(f"<b title={each}>" for each in range(1000)) + "</p>" + "<p>x</p>" * 1000
"""20 kB that were cleaned to 19 MB, in two seconds of the loop."""


def coded(html: str) -> str:
    return base64.b64encode(html.encode()).decode()


async def test_a_signature_is_set_shown_as_given_and_deleted(desk: Desk) -> None:
    user = (await desk.get("/users?email=bob@served.example"))[0]["id"]
    path = f"/users/{user}/sign"
    assert await desk.get(path, token=desk.bob) == {"sign": None}
    for html in ("Robert Stark<br/>King of the north", "<script>1</script>Ä"):
        answer = await desk.ask("PUT", path, {"sign": coded(html)}, token=desk.bob)
        assert (answer.status_code, answer.json()) == (200, {"sign": coded(html)})
        assert await desk.get(path) == {"sign": coded(html)}
    assert (await desk.ask("DELETE", path, token=desk.bob)).status_code == 204
    assert await desk.get(path) == {"sign": None}


async def test_a_signature_is_base64_of_text(desk: Desk) -> None:
    user = (await desk.get("/users?email=bob@served.example"))[0]["id"]
    for bad in (
        {"sign": "***"},
        {"sign": "/w=="},
        {"sign": coded("\0")},
        {},
        {"sign": None},
        {"sign": coded("x" * 262_145)},
        {"sign": coded("<div>" * 5001)},
        {"sign": coded(HEAVY)},
        {"sign": coded(f"<p {' '.join(f'a{each}=1' for each in range(2000))}>")},
    ):
        answer = await desk.ask("PUT", f"/users/{user}/sign", bad, token=desk.bob)
        assert (answer.status_code, answer.json()["pointer"]) == (400, "/sign"), str(bad)[:40]


async def test_who_may_only_change_accounts_is_told_the_signature_that_he_set(desk: Desk) -> None:
    """He was refused after it was written, as he may not read them."""
    user = (await desk.get("/users?email=bob@served.example"))[0]["id"]
    clerk = await desk.helper("served.example", permissions=["USERS_WRITE"])
    answer = await desk.ask("PUT", f"/users/{user}/sign", {"sign": coded("Bob")}, token=clerk)
    assert (answer.status_code, answer.json()) == (200, {"sign": coded("Bob")})
    assert (await desk.ask("GET", f"/users/{user}/sign", token=clerk)).status_code == 403


async def test_a_signature_is_for_its_owner_and_administrators_of_accounts_that_keep_mail(desk: Desk, eve: str) -> None:
    user = (await desk.get("/users?email=bob@served.example"))[0]["id"]
    for method, body in (("GET", None), ("PUT", {"sign": ""}), ("DELETE", None)):
        assert (await desk.ask(method, f"/users/{user}/sign", body, token=eve)).status_code in (403, 404)
        assert (await desk.ask(method, "/users/zzzzz/sign", body)).status_code == 404
    held = desk.house.store.reader.first(Policy, All(()))
    assert held is not None
    off = {"quarantine": False, "retention": False, "archive": False}
    await desk.house.store.write(lambda writer: writer.change(Policy, held.id, **off))
    for method, body in (("GET", None), ("PUT", {"sign": ""}), ("DELETE", None)):
        assert (await desk.ask(method, f"/users/{user}/sign", body, token=desk.bob)).status_code == 400
