"""ICAP: 204 alone is clean."""

from pathlib import Path

import pytest
from tests.filters.engines import LETTER, spooled, told, tried
from tests.filters.mails import mail
from tests.peers.engine import Scanner, icap

UNSURE = [("UNSURE", "ICAP_UNSURE")]
VIRUS = [("VIRUS", "ICAP_FOUND")]
PAGE = b"Encapsulated: res-hdr=0, res-body=20\r\n\r\nHTTP/1.1 %b\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b"ICAP/1.0 204 No Content\r\nISTag: x\r\n\r\n", []),
        (b"ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n\r\n", VIRUS),
        (b"ICAP/1.0 204 No Content\r\nX-Infection-Found: Type=0; Threat=Eicar;\r\n\r\n", VIRUS),
        (b"ICAP/1.0 403 Forbidden\r\nX-Infection-Found: Type=0; Threat=Eicar;\r\n\r\n", VIRUS),
        (b"ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Threat=Eicar;\r\nISTag", VIRUS),
        (b"ICAP/1.0 200 OK\r\nX-Infection-Found: Threat=Eicar\r\n" + PAGE % b"none", VIRUS),
        (b"ICAP/1.0 200 OK\r\nX-Infection-Found: Threat=Eicar\r\n" + b"a: b\r\n" * 200, VIRUS),
        (b"ICAP/1.0 200 OK\r\nX-Virus-ID: Eicar\r\n\r\n", VIRUS),
        (b"ICAP/1.0 200 OK\r\nX-Violations-Found: 2\r\n a\r\n b\r\n\r\n", VIRUS),
        (b"ICAP/1.0 200 OK\r\n" + PAGE % b"403 Forbidden", VIRUS),
        (b"ICAP/1.0 200 OK\r\n" + PAGE % b"200 OK", UNSURE),
        (b"ICAP/1.0 200 OK\r\n\r\n", UNSURE),
        (b"ICAP/1.0 404 Service not found\r\n\r\n", UNSURE),
        (b"ICAP/1.0 500 Server error\r\n\r\n", UNSURE),
        (b"ICAP/1.0 204 No Content\r\nISTag: x\r\n", UNSURE),
        (b"ICAP/1.0 204 No Content\r\n" + b"a: b\r\n" * 200 + b"\r\n", UNSURE),
        (b"HTTP/1.1 20 OK\r\n\r\n", UNSURE),
        (b"", UNSURE),
        (b"\0" * 200_000, UNSURE),
    ],
)
def test_only_204_is_clean(said: bytes, found: list[tuple[str, str]]) -> None:
    assert told(tried("icap", Scanner(icap, said))) == found


def test_the_mail_goes_whole_as_the_body_of_an_answer(tmp_path: Path) -> None:
    data = LETTER + b"x" * 100_000
    for letter in (mail(data), spooled(tmp_path / "mail", data)):
        scanner = Scanner(icap, b"ICAP/1.0 204 No Content\r\n\r\n")
        assert tried("icap", scanner, letter, service="srv_clamav") == []
        ((head, body),) = scanner.heard
        assert head.startswith(f"RESPMOD icap://{scanner_host(head)}/srv_clamav ICAP/1.0\r\n".encode())
        assert b"\r\nAllow: 204\r\n" in head
        assert body == data


def scanner_host(head: bytes) -> str:
    return head.partition(b"Host: ")[2].partition(b"\r\n")[0].decode()
