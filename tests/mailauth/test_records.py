"""Records beside SPF and DKIM: which of a name's texts count, and what is wrong with one."""

import pytest

from gatepost.mailauth import records


def test_only_texts_of_the_version_count() -> None:
    texts = [
        b"v=DMARC1; p=none",
        b"V = dmarc1",
        b"v=DMARC12; p=none",
        b"p=none; v=DMARC1",
        b"\xff",
        b"",
        b"v=spf1 -all",
    ]
    assert records.of_version(texts, "DMARC1") == texts[:2]


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (b"v=DMARC1; p=none", ""),
        (b"v=DMARC1;p=REJECT;sp=quarantine;", ""),
        (b"v=DMARC1; rua=mailto:x@y.example", ""),  # RFC 7489 6.6.3: as p=none
        (b"v=DMARC1", "it has no policy (p=)"),
        (b"v=DMARC1; p=block", "p=block is none of none, quarantine, reject"),
        (b"v=DMARC1; p=none; sp=x", "sp=x is none of none, quarantine, reject"),
    ],
)
def test_dmarc(record: bytes, fault: str) -> None:
    assert records.dmarc_fault(record) == fault


@pytest.mark.parametrize(
    ("record", "good"),
    [
        (b"v=STSv1; id=20261129T1;", True),
        (b"v=STSv1", False),
        (b"v=STSv1; id=a-b", False),
        (b"v=STSv1; id=" + b"1" * 33, False),
    ],
)
def test_mta_sts(record: bytes, good: bool) -> None:
    assert (records.sts_fault(record) == "") is good


@pytest.mark.parametrize(
    ("record", "good"),
    [
        (b"v=TLSRPTv1; rua=mailto:a@b.example,https://c.example/r", True),
        (b"v=TLSRPTv1; rua=http://c.example", False),
        (b"v=TLSRPTv1; rua=mailto:a@b.example,", False),
        (b"v=TLSRPTv1", False),
    ],
)
def test_tls_rpt(record: bytes, good: bool) -> None:
    assert (records.tls_report_fault(record) == "") is good
