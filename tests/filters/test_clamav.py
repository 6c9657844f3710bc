"""ClamAV: clamd's answers, and what is no answer. Only "stream: OK" to the whole mail is clean."""

from pathlib import Path

import pytest
from tests.filters.engines import LETTER, spooled, together, told, tried
from tests.filters.mails import mail
from tests.peers.engine import Scanner, clamd

from gatepost.filters.wire import pieces
from gatepost.model.verdict import OnError

UNSURE = [("UNSURE", "CLAMAV_UNSURE")]
LARGE = [("UNSURE", "CLAMAV_TOO_LARGE")]
VIRUS = [("VIRUS", "CLAMAV_FOUND")]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b"stream: OK\0", []),
        (b"stream: Eicar-Test-Signature FOUND\0", VIRUS),
        (b"stream: Heuristics.Encrypted.Zip FOUND\0", VIRUS),
        (b"stream: Eicar FOUND", VIRUS),  # cut behind what counts
        (b"stream: Ei\ncar FOUND\n\0", VIRUS),
        (b"stream: Eicar FOU", UNSURE),
        (b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0", LARGE),
        (b"INSTREAM size limit exceeded. ERROR\0", LARGE),
        (b"stream: Can't allocate memory ERROR\0", UNSURE),
        (b"stream: OK", UNSURE),
        (b"stream: OK \0", UNSURE),
        (b"stream: OKAY\0", UNSURE),
        (b"OK\0", UNSURE),
        (b"\0", UNSURE),
        (b"", UNSURE),
        (b"\xff\xfe\0", UNSURE),
        (b"220 mx.example ESMTP\r\n\0", UNSURE),
        (b"stream: OK\n" * 20_000, UNSURE),
    ],
)
def test_72_only_ok_is_clean(said: bytes, found: list[tuple[str, str]]) -> None:
    findings = tried("clamav", Scanner(clamd, said))
    assert told(findings) == found
    on_error = {"CLAMAV_UNSURE": OnError.DEFER, "CLAMAV_TOO_LARGE": OnError.QUARANTINE}
    assert all(each.on_error is on_error[each.symbol] for each in findings if each.on_error)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"said": None}, "no answer within 0.1 s"),
        ({"hung": True}, "no answer within 0.1 s"),
        ({"reset": True}, ""),
        ({"said": b"stream: OK\0", "early": True}, ""),  # or the broken connection comes first
    ],
)
def test_72_silence_and_hasty_answers_are_not_clean(how: dict[str, object], why: str) -> None:
    findings = tried("clamav", Scanner(clamd, **how), mail(LETTER + b"x" * 8_000_000), timeout=0.1)  # type: ignore[arg-type]
    assert told(findings) == UNSURE
    assert why in findings[1].reason


@pytest.mark.parametrize("server", ["/no/such/socket", "127.0.0.1:1"])
def test_72_nobody_there_is_not_clean(server: str) -> None:
    findings = tried("clamav", Scanner(clamd), servers=[server])
    assert told(findings) == UNSURE
    assert findings[0].on_error is OnError.DEFER
    assert findings[0].reason == "clamav could not say: no answer", "the stranger learns nothing of the server"
    assert server in findings[1].reason


def test_72_whoever_wants_may_let_mail_pass() -> None:
    assert tried("clamav", Scanner(clamd), on_error="accept")[0].on_error is OnError.ACCEPT


@pytest.mark.parametrize("name", ["evil\x1b[31m", "\u202eexe.evil", "x" * 3000, "a\r\nb"])
def test_73_names_are_shown_escaped(name: str) -> None:
    (finding,) = tried("clamav", Scanner(clamd, f"stream: {name} FOUND\0".encode()))[:1]
    assert finding.symbol == "CLAMAV_FOUND"
    assert finding.reason.isprintable()
    assert len(finding.reason) <= 200


def test_a_name_that_is_no_virus_counts_points() -> None:
    scores = {"Heuristics.Phishing.*": 6.0, "*": 1.0}
    said = b"stream: Heuristics.Phishing.Email.SpoofedDomain FOUND\0"
    (finding,) = tried("clamav", Scanner(clamd, said), scores=scores, weight=0.5)
    assert (finding.category.name, finding.score) == ("SCORE", 3.0)


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
@pytest.mark.parametrize("unix", [True, False])
def test_a_mail_reaches_clamd_whole_from_memory_and_from_its_file(size: int, unix: bool, tmp_path: Path) -> None:
    data = LETTER + b"x" * size
    for letter in (mail(data), spooled(tmp_path / "mail", data)):
        scanner = Scanner(clamd, b"stream: OK\0", path=str(tmp_path / "socket") if unix else "")
        assert tried("clamav", scanner, letter) == []
        assert scanner.heard == [(b"zINSTREAM\0", data)]


def test_a_spooled_mail_is_never_whole_in_memory(tmp_path: Path) -> None:
    async def sizes() -> list[int]:
        return [len(piece) async for piece in pieces(spooled(tmp_path / "mail", LETTER * 10_000).body)]

    read = together(sizes)
    assert max(read) <= 65_536
    assert sum(read) == len(LETTER) * 10_000


def test_a_mail_whose_file_is_gone_is_no_fault_of_the_server(tmp_path: Path) -> None:
    letter = spooled(tmp_path / "mail", LETTER)
    (tmp_path / "mail").unlink()
    with pytest.raises(Exception, match="the mail's file can't be read"):
        tried("clamav", Scanner(clamd, b"stream: OK\0"), letter)
