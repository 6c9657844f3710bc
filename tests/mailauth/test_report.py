"""The fields that tell what was proven: read back by a parser of RFC 8601, and safe whatever strangers wrote."""

import authres
import pytest
from tests.mailauth.post import envelope

from gatepost.mailauth.report import facts, fields
from gatepost.model.auth import Arc, AuthResults, Dmarc, Iprev, Policy, Result, Signature, Spf

HOST = "gate.example"


def made(**members: object) -> AuthResults:
    usual: dict[str, object] = {
        "mail_from": Spf(result=Result.PASS, domain="a.example", matched="ip4:192.0.2.7"),
        "helo": Spf(result=Result.NONE, domain="mx.a.example"),
        "signatures": (
            Signature(result=Result.PASS, domain="a.example", selector="s", algorithm="rsa-sha256", start="abc+/=12"),
        ),
        "dmarc": Dmarc(result=Result.PASS, domain="a.example", record="a.example", policy=Policy.REJECT, by=("spf",)),
        "arc": Arc(result=Result.FAIL, reason="broken"),
        "iprev": Iprev(result=Result.PASS, ip="192.0.2.7", name="mx.a.example"),
        "proven": True,
    }
    return AuthResults(**(usual | members))  # type: ignore[arg-type]


def parsed(found: AuthResults, sender: str = "ada@a.example") -> authres.AuthenticationResultsHeader:
    value = dict(fields(found, envelope(sender), HOST))["Authentication-Results"]
    return authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {value}")


def test_a_parser_reads_the_results() -> None:
    header = parsed(made())
    assert header.authserv_id == HOST
    said = [(each.method, each.result, {p.name: p.value for p in each.properties}) for each in header.results]
    assert said == [
        ("spf", "pass", {"mailfrom": "ada@a.example"}),
        ("spf", "none", {"helo": "mx.a.example"}),
        ("dkim", "pass", {"d": "a.example", "s": "s", "a": "rsa-sha256", "b": "abc+/=12"}),
        ("dmarc", "pass", {"dmarc": "reject", "from": "a.example"}),
        ("arc", "fail", {"remote-ip": "192.0.2.7"}),
        ("iprev", "pass", {"iprev": "192.0.2.7"}),
    ]


def test_a_mail_without_signatures_says_so() -> None:
    header = parsed(made(signatures=()), sender="")
    assert [(each.method, each.result) for each in header.results][:2] == [("spf", "none"), ("dkim", "none")]


@pytest.mark.parametrize(
    ("spf", "said"),
    [
        (Spf(result=Result.NEUTRAL, domain="a.example"), "; mechanism=default"),
        (Spf(result=Result.TEMPERROR, domain="a.example", reason="no answer"), '; problem="no answer"'),
        (Spf(result=Result.NONE, domain="a.example", reason="no record"), "identity=mailfrom"),
    ],
)
def test_received_spf_names_the_term_that_decided_or_the_problem(spf: Spf, said: str) -> None:
    told = dict(fields(made(mail_from=spf), envelope("ada@a.example"), HOST))["Received-SPF"]
    assert " ".join(told.split()).endswith(said)


@pytest.mark.parametrize(
    "evil", ["x; dkim=pass header.d=bank.example", "a@b; dkim=pass", 'q"; dkim=pass', "\r\nX: y", "é\\"]
)
def test_no_text_of_a_stranger_becomes_a_result(evil: str) -> None:
    signature = Signature(result=Result.FAIL, domain=evil, selector=evil, algorithm=evil, start=evil, reason=evil)
    found = made(
        signatures=(signature,),
        helo=Spf(result=Result.FAIL, domain=evil, reason=evil),
        dmarc=Dmarc(result=Result.FAIL, domain=evil, record=evil, reason=evil),
        iprev=Iprev(result=Result.FAIL, ip="192.0.2.7", reason=evil),
    )
    header = parsed(found)
    assert [(each.method, each.result) for each in header.results] == [
        ("spf", "pass"),
        ("spf", "fail"),
        ("dkim", "fail"),
        ("dmarc", "fail"),
        ("arc", "fail"),
        ("iprev", "fail"),
    ]
    for _, value in fields(found, envelope('"x; dkim=pass"@a.example', helo=evil), HOST):
        assert value.isascii()
        assert all(line.startswith("\t") for line in value.split("\r\n")[1:])
        assert max(map(len, value.split("\r\n"))) < 998


def test_received_spf_says_what_rfc_7208_asks_for() -> None:
    value = dict(fields(made(), envelope("ada@a.example"), HOST))["Received-SPF"]
    assert value.split("\r\n\t") == [
        "pass (gate.example: the domain allows this address)",
        "client-ip=192.0.2.7;",
        'envelope-from="ada@a.example";',
        'helo="mx.a.example";',
        "receiver=gate.example;",
        "identity=mailfrom;",
        'mechanism="ip4:192.0.2.7"',
    ]


def test_the_trace_tells_each_result_with_its_reason() -> None:
    told = facts(made())
    assert told["proven"] is True
    assert told["dmarc"] == {
        "result": "pass",
        "domain": "a.example",
        "record": "a.example",
        "policy": "reject",
        "by": ["spf"],
    }
    assert told["arc"] == {"result": "fail", "sealers": [], "reason": "broken"}
