"""Whatever octets a mail is made of, no filter raises; what one finds is fit to be shown."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.filters.mails import ask, attachment_rules, make
from tests.message.documents import compound
from tests.message.mails import attachment, multipart, zipped

PIECES = [
    b"From: Ann <ann@a.test>\r\n",
    b"From: a@b, c@d, =?\xff?q?=zz?=\r\n",
    b"Date: Mon, 24 Nov 2025 12:00:00 +0000\r\n",
    b"Subject: =?utf-8?B?w5w?= =?klingon?Q?a?=\r\n",
    b"Content-Transfer-Encoding: 7bit\r\n",
    b"Content-Type: text/plain; charset=us-ascii\r\n",
    multipart(attachment(b"a.zip", zipped({"a.doc": compound({"Macros/VBA/dir": b"x"}), "e.exe": b"MZ"}))),
    attachment(b"\xe2\x80\xaeexe.txt", b"MZ"),
    b"\r\n",
    b"\x00\x1b[31m",
    b"\xff\xfe",
]
OCTETS = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=12)), max_size=15).map(b"".join)
RULES = attachment_rules(
    ("ALLOW", "FILENAME", "^report"), ("DENY", "ARCHIVE_FILENAME", r"\.exe$"), ("DENY", "CONTENTTYPE", "dosexec")
)
FILTERS = [make(name) for name in ("attachments", "encoding", "headers", "virus")]


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(OCTETS)
def test_no_filter_of_form_raises_over_any_octets(data: bytes) -> None:
    for one in FILTERS:
        for finding in ask(one, data, RULES):
            assert finding.by == one.name
            assert finding.symbol.replace("_", "").isupper()
            assert finding.reason.isprintable() and 0 < len(finding.reason) <= 200
