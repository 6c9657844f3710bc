"""Canonical bodies, held to dkimpy's own over random text, however the pieces come."""

import hashlib
import itertools

import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mailauth.body import Hash, digests, relaxed, simple

TEXTS = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r", b"\r\n", b"\r\n\r\n", b"b c  "]), max_size=30)
FORMS = [(relaxed, Relaxed), (simple, Simple)]


@pytest.mark.parametrize(("form", "theirs"), FORMS)
@given(TEXTS, st.lists(st.integers(0, 40), max_size=4), st.none() | st.integers(0, 50))
def test_the_hash_is_dkimpys_and_does_not_depend_on_how_the_body_comes(
    form: object, theirs: object, parts: list[bytes], cuts: list[int], most: int | None
) -> None:
    body = b"".join(parts)
    body += b"" if not body or body.endswith(b"\r\n") else b"\r\n"
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]
    whole = theirs.canonicalize_body(body)  # type: ignore[attr-defined]
    expected = Hash(hashlib.sha256(whole[:most]).digest(), len(whole))
    marks = [] if most is None else [most, *cuts]
    assert digests(form(pieces), marks)[most] == digests(form([body]), marks)[most] == expected  # type: ignore[operator]
