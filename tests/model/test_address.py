"""Addresses and domain names: what is read, what is refused, and what counts as equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.address import Address, BadAddress, domain_name, parse_address, parse_path

GOOD = [
    ("<a@b.example>", "a", "b.example"),
    ("<A.B@B.Example>", "A.B", "b.example"),
    ("<a@b.example.>", "a", "b.example"),
    ('<"a b"@b.example>', '"a b"', "b.example"),
    ('<"a>b"@b.example>', '"a>b"', "b.example"),
    ('<"a@evil.example"@b.example>', '"a@evil.example"', "b.example"),
    ("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
    ("<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]"),
    ("<é@bücher.example>", "é", "xn--bcher-kva.example"),
    ("<user%b@c.example>", "user%b", "c.example"),
    ("<a!b@c.example>", "a!b", "c.example"),
    (f"<{'l' * 64}@b.example>", "l" * 64, "b.example"),
]

BAD = [
    "<u>",
    "a@b.example",
    "<a@b.example",
    "<a@b.example>x",
    "<a b@c.example>",
    "<a@-b.example>",
    "<a@b-.example>",
    "<a@b..example>",
    "<.a@b.example>",
    "<a.@b.example>",
    "<a..b@b.example>",
    '<"a@b.example>',
    '<"a"b@c.example>',
    "<a@>",
    "<@b.example>",
    "<@a,@b:u@c.example>",
    "<@a:u@c.example>",
    "<a@b@c.example>",
    "<a@1.2.3.4>",
    "<a@[1.2.3.400]>",
    "<a@[IPv6:zz]>",
    "<a@b.example\x00>",
    "<a\x07@b.example>",
    f"<{'l' * 65}@b.example>",
    f"<a@{'d' * 64}.example>",
    f"<a@{'.'.join(['d' * 60] * 5)}>",
    "<a(comment)@b.example>",
    "<a@b.example >",
    "< a@b.example>",
]


@pytest.mark.parametrize(("path", "local", "domain"), GOOD)
def test_a_good_path_is_read(path: str, local: str, domain: str) -> None:
    assert parse_path(path) == (Address(local, domain), "")


@pytest.mark.parametrize("path", BAD)
def test_a_bad_path_is_refused_with_a_reason(path: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse_path(path)
    assert str(caught.value)


def test_the_null_path_and_the_domainless_postmaster() -> None:
    assert parse_path("<>") == (None, "")
    assert parse_path("<PostMaster> NOTIFY=NEVER") == (Address("PostMaster", ""), "NOTIFY=NEVER")


def test_parameters_follow_the_path() -> None:
    assert parse_path("<a@b.example> SIZE=5 BODY=8BITMIME")[1] == "SIZE=5 BODY=8BITMIME"


def test_case_trailing_dot_and_u_labels_are_one_domain() -> None:
    """Threat 41."""
    forms = ["BÜCHER.example", "bücher.example.", "xn--bcher-kva.EXAMPLE", "xn--bcher-kva.example."]
    assert {domain_name(form) for form in forms} == {"xn--bcher-kva.example"}


def test_keys_are_equal_for_one_mailbox() -> None:
    assert parse_address('"Plain"@B.example').key == parse_address("plain@b.example.").key == "plain@b.example"
    assert parse_address('"a b"@b.example').key == '"a b"@b.example'
    assert parse_address("JU\u0308RG@b.example").key == parse_address("jürg@b.example").key == "jürg@b.example"


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        address, _ = parse_path(f"<{text}>")
    except BadAddress:
        return
    if address is not None and address.domain:
        assert parse_address(address.text) == address
