"""Header sections, held to dkimpy's own reading, choice and canonical forms over random octets."""

import re

import dkim
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from gatepost.mailauth.header import Field, canonical, fields, select

PIECES = [
    b"A",
    b"b-C",
    b": ",
    b":",
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"\r",
    b"From ",
    b"x\xe4\x00",
    b"Subject: hi\r\n",
    b"\x0b",
]
BLANKED = re.compile(rb"(?m)^[!-~][!-9;-~]*[ \t]+:")  # at which dkimpy stops
HEADS = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)
NAMES = st.lists(st.sampled_from([b"a", b"b-c", b"subject", b"from"]), max_size=8)


def theirs(head: bytes) -> list[Field] | type[Exception]:
    try:
        return [(name, value) for name, value in dkim.rfc822_parse(head)[0]]
    except (dkim.MessageFormatError, IndexError) as error:
        return type(error)


def ours(head: bytes) -> list[Field] | type[Exception]:
    try:
        return fields(head)
    except (dkim.MessageFormatError, IndexError) as error:
        return type(error)


@settings(deadline=None, max_examples=examples(400))
@given(HEADS, st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]), NAMES)
def test_what_we_read_choose_and_sign_is_what_dkimpy_does(head: bytes, end: bytes, names: list[bytes]) -> None:
    found = ours(head + end)
    if BLANKED.search(head):
        return
    assert found == theirs(head + end)
    if isinstance(found, type):
        return
    for form in (Relaxed, Simple):
        whole = form.canonicalize_headers(found)
        assert list(canonical(found, form.name)) == whole
        assert list(canonical(select(found, names), form.name)) == dkim.select_headers(whole, names)
