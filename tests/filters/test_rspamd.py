"""Rspamd: what it is told of the envelope, and what its symbols, score and action mean."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.filters.engines import LETTER, engine, examine, spooled, together, told, tried
from tests.filters.mails import mail
from tests.peers.engine import Scanner, http, http_answer

from gatepost.filters.rspamd import _read
from gatepost.filters.wire import Garbled
from gatepost.model.address import Address
from gatepost.model.envelope import Client, Login
from gatepost.model.verdict import Finding, OnError

UNSURE = [("UNSURE", "RSPAMD_UNSURE")]


def answer(action: str = "no action", score: Any = 0.0, **symbols: Any) -> bytes:
    made = {"action": action, "score": score, "required_score": 15.0, "symbols": symbols, "is_skipped": False}
    return http_answer(json.dumps(made).encode())


def symbol(score: float, description: str = "", *options: str) -> dict[str, Any]:
    return {"score": score, "metric_score": score, "description": description, "options": list(options)}


def ask(said: bytes, **options: Any) -> list[Finding]:
    return tried("rspamd", Scanner(http, said), **options)


def scores(findings: list[Finding]) -> dict[str, float]:
    return {each.symbol: each.score for each in findings if each.category.name == "SCORE"}


def test_symbols_are_taken_over_with_score_and_description() -> None:
    said = answer("add header", 6.5, ZEBRA=symbol(7.0, "a zebra", "in the subject"), GOOD=symbol(-0.5), INFO=symbol(0))
    findings = ask(said)
    assert [(each.symbol, each.score, each.reason) for each in findings[:2]] == [
        ("ZEBRA", 7.0, "a zebra [in the subject]"),
        ("GOOD", -0.5, "GOOD"),
    ]
    assert findings[2].reason == "Rspamd says: add header (6.5 of 15 points); without points: INFO"
    assert len(findings) == 3


def test_the_sum_is_always_rspamds_total_times_the_weight() -> None:
    findings = ask(answer("reject", 15.0, GTUBE=symbol(0.0), A=symbol(4.0)), weight=0.5)
    assert scores(findings) == {"A": 2.0, "RSPAMD_OTHER": 5.5}


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ("no action", []),
        ("greylist", []),
        ("reject", [("SPAM", "RSPAMD_ACTION")]),
        ("soft reject", [("UNSURE", "RSPAMD_ACTION")]),
        ("of its own\r\nmaking", []),
    ],
)
def test_an_action_means_what_the_options_say(action: str, found: list[tuple[str, str]]) -> None:
    findings = ask(answer(action))
    assert told(findings) == found
    assert all(each.on_error is OnError.DEFER for each in findings if each.category.name == "UNSURE")
    assert told(ask(answer(action), actions={action: "note"})) == []


def test_symbols_may_mean_a_virus_an_advert_or_nothing() -> None:
    said = answer(score=11.0, CLAM_VIRUS=symbol(5.0), BULK_1=symbol(3.0), R_SPF_FAIL=symbol(1.0), REST=symbol(2.0))
    findings = ask(said, virus_symbols=["CLAM_*"], advert_symbols=["BULK_?"], ignore_symbols=["R_SPF_*"])
    assert told(findings) == [("VIRUS", "CLAM_VIRUS"), ("ADVERT", "BULK_1"), ("SCORE", "REST")]


def test_a_virus_is_not_lost_among_many_symbols() -> None:
    many = {f"S{number}": symbol(1.0) for number in range(300)}
    findings = ask(answer(score=300.0, **many, CLAM_VIRUS=symbol(0.0)), virus_symbols=["CLAM_*"])
    assert ("VIRUS", "CLAM_VIRUS") in told(findings)
    assert round(sum(scores(findings).values()), 3) == 300.0


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"220 mx.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        http_answer(b""),
        http_answer(b"{}"),
        http_answer(b"[]"),
        http_answer(b"[" * 400_000),
        http_answer(b'{"action": "x", "score": 0, "symbols": {"A": {"options": ' + b"[" * 400_000),
        http_answer(b'{"action": "no action", "score": "0"}'),
        http_answer(b'{"action": "no action", "score": 1e999, "symbols": {}}'),
        http_answer(b'{"action": "no action", "score": 0, "symbols": {"A": {"score": "x"}}}'),
        http_answer(b'{"action": "no action", "score": 1e308, "symbols": {"A": {"score": -1e308}}}'),
        answer(**{f"A{number}": {} for number in range(6000)}),
        http_answer(b'{"action": "no action", "score": 0', b"200 OK"),
        http_answer(b'{"error": "broken"}', b"500 Internal Server Error"),
        http_answer(b'{"action": "no action", "score": 0, "symbols": {}}', b"503 Busy"),
        http_answer(b'{"action": "no action", "score": 0, "symbols": {}}', b"302 Found"),
        http_answer(b"", b"302 Found\r\nLocation: //xn--v1.x[.."),
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{}",
        http_answer(b'{"action": "' + b"x" * 1_100_000 + b'", "score": 0}'),
    ],
)
def test_74_what_is_no_answer_is_not_clean(said: bytes) -> None:
    findings = ask(said, timeout=0.2)
    assert told(findings) == UNSURE
    assert findings[0].on_error is OnError.DEFER


@pytest.mark.parametrize("how", [{"said": None}, {"hung": True}, {"said": answer(), "early": True}])
def test_74_silence_and_hasty_answers_are_not_clean(how: dict[str, Any]) -> None:
    findings = tried("rspamd", Scanner(http, **how), mail(LETTER + b"x" * 8_000_000), timeout=0.2)
    assert told(findings) == UNSURE


def test_what_it_quotes_of_a_mail_need_not_be_utf8() -> None:
    said = http_answer(b'{"action": "no action", "score": 1, "symbols": {"A": {"score": 1, "options": ["\xff\xfe"]}}}')
    assert told(ask(said)) == [("SCORE", "A")]


@given(st.binary(max_size=300))
def test_any_octets_are_an_answer_or_none(data: bytes) -> None:
    with suppress(Garbled):
        _read(data)
    with suppress(Garbled):
        _read(b'{"action": "x", "score": 1, "symbols": {"A": {"options": ["' + data + b'"]}}}')


def test_hostile_symbols_are_escaped_and_bounded() -> None:
    many = {f"s\x1b{number}": symbol(0.001, "\u202e" + "x" * 900, "y" * 900) for number in range(1000)}
    findings = ask(answer(score=1.0, **many))
    assert len(findings) <= 202
    assert all(each.reason.isprintable() and len(each.reason) <= 200 for each in findings)
    assert all(each.symbol.replace("_", "A").isalnum() and each.symbol.isascii() for each in findings)


def test_the_envelope_goes_along_in_headers(tmp_path: Path) -> None:
    scanner = Scanner(http, answer(), path=str(tmp_path / "socket"))
    sender = Address("zoë", "a.test")
    client = Client(ip="192.0.2.1", helo="ev\til\x7f", login=Login(1, 1, "ann@a.test"))
    letter = mail(LETTER, client=client, sender=sender)
    tried("rspamd", scanner, letter, password="secret", settings_id="outgoing")
    ((head, body),) = scanner.heard
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /checkv2 HTTP/1.1"
    assert {
        "From: zoë@a.test",
        "Rcpt: bob@ours.test",
        "IP: 192.0.2.1",
        "Helo: ev?il?",
        "User: ann@a.test",
        f"Queue-Id: {'0' * 32}",
        "MTA-Name: localhost",
        "Settings-ID: outgoing",
        "Password: secret",
        f"Content-Length: {len(LETTER)}",
    } <= set(lines)
    assert "transfer-encoding" not in head.decode().lower()
    assert body == LETTER
    tried("rspamd", scanner, mail(LETTER, sender=None))
    assert b"\r\nFrom: <>\r\n" in scanner.heard[-1][0]


def test_a_spooled_mail_goes_whole_and_connections_are_kept(tmp_path: Path) -> None:
    data = LETTER + b"x" * 300_000

    async def steps() -> None:
        async with Scanner(http, answer()) as scanner:
            rspamd = engine("rspamd", f"http://{scanner.address}")
            for _ in range(3):
                assert (
                    told(list(await rspamd.examine(spooled(tmp_path / "mail", data), mail(b"").envelope.recipients[0])))
                    == []
                )
            assert [body for _, body in scanner.heard] == [data] * 3
            assert scanner.connections == 1
            await rspamd.close()

    together(steps)


@pytest.mark.parametrize(
    "text", ["http://", "http://host/path", "http://me:secret@host", "ftp://x", "host:0", "host:x", "a:b:c", ""]
)
def test_a_server_that_is_none_is_refused_by_its_key(text: str) -> None:
    with pytest.raises(Exception, match=r"filters.rspamd.servers: "):
        engine("rspamd", text)


def test_nobody_waits_for_a_proof_of_the_clients_name() -> None:
    """The name server of these tests does not answer: Rspamd is asked without a Hostname."""

    async def steps() -> None:
        async with Scanner(http, answer()) as scanner:
            await examine(engine("rspamd", scanner.address, connect_timeout=0.05), mail(LETTER))
            assert b"Hostname" not in scanner.heard[0][0]

    together(steps)
