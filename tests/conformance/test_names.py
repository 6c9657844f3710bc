"""The public file-name cases in real mails through the whole relay: a deny rule hits whatever a client may read."""

import base64
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.letters import zipped
from tests.house import NOW, House, living, queued_as

from gatepost.model.query import Query, eq
from gatepost.model.rules import AttachmentAction, AttachmentRule, CheckType
from gatepost.model.stored import Copy

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]
TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
CASES = TESTDATA / "mime-params-mozilla/files/content_disposition_rfc2231.json"
BOB = "bob@served.example"


def cases() -> list[dict[str, Any]]:
    assert CASES.is_file(), f"the cases are not at {CASES}; set GATEPOST_TESTDATA"
    found: list[dict[str, Any]] = json.loads(CASES.read_text(encoding="utf-8"))
    assert len(found) == 70
    return found


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as house:
        yield house


async def deny(house: House, pattern: str, check: CheckType = CheckType.FILENAME) -> None:
    """Make this the one rule of its kind that the domain has."""
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    rule = AttachmentRule(
        domain_id=domain.id,
        action=AttachmentAction.DENY,
        check_type=check,
        filter=pattern,
        priority=1,
        created_date=NOW,
    )

    await house.store.write(lambda writer: writer.remove(AttachmentRule, eq("check_type", check)))
    await house.add(rule)


def mail(disposition: bytes, data: bytes = b"TVqQAAMAAAAEAAAA", kind: bytes = b"application/octet-stream") -> bytes:
    """Return a mail with one attachment, its Content-Disposition put in as it is, but folds made folds of a mail."""
    disposition = re.sub(rb"\r\n(?![ \t])", b"\r\n ", disposition.strip())
    return (
        b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nFrom: ada@world.example\r\nTo: bob@served.example\r\n"
        b"Subject: a file\r\nMessage-ID: <file@world.example>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="cut"\r\n\r\n--cut\r\nContent-Type: text/plain\r\n\r\nSee.\r\n'
        b"--cut\r\nContent-Type: " + kind + b"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: "
        + disposition + b"\r\n\r\n" + data + b"\r\n--cut--\r\n"
    )  # fmt: skip


async def category(house: House, raw: bytes) -> str | None:
    """Send a mail; return what it was held for, None if it was delivered."""
    reply = await house.send(raw, BOB)
    assert reply.code == 250, reply
    held = house.store.reader.find(Copy, Query(where=eq("mail_id", queued_as(reply)))).items
    return next((copy.category for copy in held if copy.folder in ("Quarantine", "System")), None)


async def test_a_rule_hits_the_name_that_a_client_shows_in_all_70_cases(house: House) -> None:
    """Threat 45: the rule names exactly that name, and nothing else of the case."""
    missed = []
    for case in cases():
        if case["filename"]:
            await deny(house, rf"\A{re.escape(case['filename'])}\z")
            raw = mail(case["content_disposition"].encode())
            if await category(house, raw) != "BAD_ATTACHMENT":
                missed.append(case["id"])
    assert not missed, "\n".join(map(repr, missed))
    assert house.sink.mails == []


async def test_a_rule_hits_every_reading_that_ends_in_exe(house: House) -> None:
    """Threats 45, 46: each name of each case made an .exe by turns, whichever of them a client prefers."""
    await deny(house, r"(?i)\.exe$")
    tried = [disposition for case in cases() for disposition in evil(case["content_disposition"])]
    assert len(tried) == 60
    missed = [each for each in tried if await category(house, mail(each.encode())) != "BAD_ATTACHMENT"]
    assert not missed, "\n".join(map(repr, missed))
    assert house.sink.mails == []


PLAIN = re.compile(r"""(filename\*?\s*=\s*"?(?:[\w-]*'(?:\w*')?)?)([\w%][\w.%-]*)(?=["';\s]|$)(?!')""")


def evil(disposition: str) -> list[str]:
    """Return the field once for each plain or extended name in it, that one made an .exe."""
    return [
        f"{disposition[: found.end(1)]}evil.exe{disposition[found.end(2) :]}" for found in PLAIN.finditer(disposition)
    ]


async def test_the_cases_pass_where_no_rule_is_against_them(house: House) -> None:
    """The other side: what a client would show as `.html` is no `.exe`, and nothing else is amiss with it."""
    await deny(house, r"(?i)\.exe$")
    held = [case["id"] for case in cases() if await category(house, mail(case["content_disposition"].encode()))]
    assert not held, held


async def test_names_in_archives_are_held_to_the_same_rule(house: House) -> None:
    """Threat 49: in a zip, with every disguise that an archive can carry."""
    await deny(house, r"(?i)\.exe$", CheckType.ARCHIVE_FILENAME)
    for name in ("run.exe", "a/b/run.EXE", "run.exe ", "run.exe.", "..\\run.exe", "run\u202e.exe", "\uff52un.\uff45xe"):
        data = base64.encodebytes(zipped(name, b"MZ")).replace(b"\n", b"\r\n")
        raw = mail(b'attachment; filename="photos.zip"', data, b"application/zip")
        assert await category(house, raw) == "BAD_ATTACHMENT", name
