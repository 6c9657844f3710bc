"""What `gatepost domain check` adds to the words of the API."""

from gatepost.cli.domain import findings
from gatepost.settings import Settings, Smtp

MISSING = {
    "entries": [
        {"type": "MX", "result": "ERROR_MX_MISSING_ENTRY", "output": ["Fail: No MX entry found"]},
        {"type": "DKIM", "result": "ERROR_DKIM_MISSING_ENTRY", "output": ["Fail: none\x1b[2J"]},
        {"type": "SPF", "result": "OK", "output": ["Passed"]},
    ]
}


def test_what_is_missing_in_dns_is_told_with_what_mends_it() -> None:
    settings = Settings(smtp=Smtp(hostname="mx.gate.example", gateway_names=["192.0.2.25", "mx1.gate.example"]))
    assert list(findings("example.org", MISSING, settings)) == [
        "  MX: ERROR_MX_MISSING_ENTRY",
        "    Fail: No MX entry found",
        "    Publish: example.org MX 10 mx1.gate.example.",
        "  DKIM: ERROR_DKIM_MISSING_ENTRY",
        "    Fail: none\\x1b[2J",
        "    Publish what `gatepost dkim show example.org` prints; `gatepost dkim create` makes a key",
        "  SPF: OK",
        "    Passed",
    ]


def test_the_gateway_is_called_by_its_host_name_where_no_other_is_given() -> None:
    lines = list(findings("example.org", MISSING, Settings(smtp=Smtp(hostname="mx.gate.example"))))
    assert "    Publish: example.org MX 10 mx.gate.example." in lines
