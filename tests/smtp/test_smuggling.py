"""End-of-data look-alikes: one mail or none, and nothing of a mail ever run as a command (threats 1, 3, F1)."""

import itertools
import json
import os
from pathlib import Path

import pytest
from tests.smtp.front import Front, front

pytestmark = pytest.mark.anyio
TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA", "../shared/testdata"))

# Every way of writing <newline> . <newline> with broken newlines, some with a NUL in between.
NEWLINES = (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\0\n", b"\r\n\0")
LOOK_ALIKES = [before + b"." + after for before, after in itertools.product(NEWLINES, NEWLINES)]
INNER = b"MAIL FROM:<eve@world.example>\r\nRCPT TO:<carol@ours.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"


async def smuggle(opened: Front, sequence: bytes) -> None:
    """Send a mail that holds a sequence and another mail behind it; see that only the sequence's own meaning counts."""
    talk = await opened.hello()
    await talk.begin()
    wire = b"Subject: outer\r\n\r\nouter" + sequence + INNER + b"\r\n.\r\n"
    end = wire.index(b"\r\n.\r\n") + 5
    body = wire[: end - 3]
    clean = b"\0" not in body and body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")
    before = len(opened.mails)
    await talk.send(wire[:end])
    said = await talk.reply()
    if clean:
        assert said.startswith("250 ")
        assert opened.mails.pop()[1] == body.replace(b"\r\n.", b"\r\n")
    else:
        assert said == "550 5.5.2 bare CR, LF or NUL not allowed"
    assert len(opened.mails) == before
    assert await talk.ask("RSET") == "250 2.0.0 Ok"  # nothing of the mail was run
    await talk.close()


async def test_no_look_alike_ends_a_mail(tmp_path: Path) -> None:
    """Threat 1, by our own sequences."""
    async with front(tmp_path, limits={"connections_per_ip": 1000}) as opened:
        for sequence in LOOK_ALIKES:
            await smuggle(opened, sequence)


async def test_what_comes_in_one_breath_with_a_refused_mail_is_not_run(tmp_path: Path) -> None:
    """Threat 1: a NUL before a true end, which others than us may not take for the end."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        await talk.begin()
        await talk.send(b"Subject: outer\r\n\r\nouter\0\r\n.\r\n" + INNER + b"QUIT\r\n")
        assert await talk.reply() == "550 5.5.2 bare CR, LF or NUL not allowed"
        assert await talk.rest() == b""
        assert opened.mails == []


@pytest.mark.conformance
async def test_the_public_vectors_smuggle_nothing(tmp_path: Path) -> None:
    """Threats 1, F1: the twenty sequences that others have found."""
    file = TESTDATA / "smtp-smuggling-vectors/files/vectors.json"
    vectors = json.loads(file.read_text())
    assert len(vectors) == 20
    async with front(tmp_path) as opened:
        for vector in vectors:
            await smuggle(opened, bytes.fromhex(vector["hex"]))


async def test_what_was_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    """Threat 1: no file, no octets in memory."""
    async with front(tmp_path, store={"spool_cut": 1000}) as opened:
        talk = await opened.hello()
        assert (await talk.mail(b"x" * 3000 + b"\r\n" + b"bare\n\r\n.\r\n")).startswith("550 5.5.2")
        (draft,) = opened.keeper.drafts
        assert draft.path is None and draft.data() == b""
        assert list((tmp_path / "state/spool/tmp").iterdir()) == []
