"""A mail's data: where it ends, what is taken out, what is refused; the same however the octets are cut."""

import errno
import itertools
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepost.model.problem import Kind, Problem
from gatepost.smtp import replies
from gatepost.smtp.data import DataReader
from gatepost.smtp.replies import Reply


class Sheet:
    """Somewhere to write to; may run full."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.data = b""
        self.failure = failure

    def write(self, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.data += data


def read(
    chunks: list[bytes], *, size: int = 1 << 30, line: int = 65_536, received: int = 50, normalise: bool = False
) -> tuple[bytes, Reply | None, bytes | None, int]:
    """Feed chunks to the end; return what was written, the fault, what follows the end, and the chunks left over."""
    sheet = Sheet()
    reader = DataReader(sheet, size=size, line=line, received=received, normalise=normalise)
    for index, chunk in enumerate(chunks, 1):
        rest = reader.feed(chunk)
        if rest is not None:
            return sheet.data, reader.fault, rest, len(chunks) - index
    return sheet.data, reader.fault, None, 0


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def stuffed(data: bytes) -> bytes:
    """Put a mail on the wire as a client does (RFC 5321 4.5.2)."""
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    lines = data.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b"..", b".\t", b"...x", b"Subject: x", b"\xff\xfe", b" .", b"x" * 70]),
        st.binary(max_size=12).filter(lambda line: not set(line) & {0, 10, 13}),
    ),
    max_size=12,
)
PLACES = st.lists(st.integers(0, 500), max_size=12)


@given(LINES, PLACES)
@example([b"", b""], [1, 2, 3])
@example([b".", b"."], [1, 2, 3, 4, 5, 6, 7, 8])
def test_what_is_kept_is_what_was_meant_wherever_it_is_cut(lines: list[bytes], places: list[int]) -> None:
    """Threat 25: stuffed dots, lone dots, eight bits, an empty body."""
    mail = b"".join(line + b"\r\n" for line in lines)
    data, fault, rest, _ = read(cuts(stuffed(mail) + b"NOOP\r\n", places))
    assert (data, fault) == (mail, None)
    assert rest is not None and b"NOOP\r\n".startswith(rest)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"x"]), max_size=14), PLACES)
def test_only_the_true_end_ends_a_mail(tokens: list[bytes], places: list[int]) -> None:
    """Threat 1, over every short mixture of the octets that matter."""
    wire = b"x\r\n" + b"".join(tokens) + b"\r\n.\r\n"
    end = wire.index(b"\r\n.\r\n")
    data, fault, rest, left = read(cuts(wire, places))
    chunks = cuts(wire, places)
    assert rest is not None
    assert rest + b"".join(chunks[len(chunks) - left :]) == wire[end + 5 :]
    body = wire[: end + 2]
    clean = b"\0" not in body and body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")
    assert (fault is None) == clean
    if clean:
        assert data == body.replace(b"\r\n.", b"\r\n")
    else:
        assert fault is replies.BARE_IN_DATA


def test_every_short_run_of_line_ends_is_told_from_whole_ones() -> None:
    for length in range(7):
        for each in itertools.product((b"a", b"\r", b"\n", b"."), repeat=length):
            text = b"".join(each)
            bare = text.count(b"\r\n") != text.count(b"\n") or text.count(b"\r\n") != text.count(b"\r")
            written, fault, _, _ = read([stuffed(b"x" + text + b"\r\n")])
            assert fault is (replies.BARE_IN_DATA if bare else None), text
            assert bare or written == b"x" + text + b"\r\n"


def test_random_cuts_and_a_command_behind_the_end() -> None:
    """Nearly five hundred mails of random make, cut at random, a command on their heels."""
    random_ = random.Random(492)
    pieces = [b"a", b".", b"..", b"\r\n", b"\r\n.", b"\r\n..", b"Received: x", b"\xe4", b"z" * 999, b"\r\n\r\n"]
    for _ in range(492):
        mail = b"".join(random_.choices(pieces, k=random_.randrange(40))) + b"\r\n"
        wire = stuffed(mail) + b"MAIL FROM:<>\r\n"
        places = [random_.randrange(len(wire)) for _ in range(random_.randrange(20))]
        data, fault, rest, left = read(cuts(wire, places))
        assert (data, fault) == (mail, None)
        assert (rest or b"") + b"".join(cuts(wire, places)[-left:] if left else []) == b"MAIL FROM:<>\r\n"


def test_each_octet_may_come_alone() -> None:
    wire = b"Subject: x\r\n\r\n..\r\n.a\r\n.\r\n"
    assert read([bytes([octet]) for octet in wire])[:2] == (b"Subject: x\r\n\r\n.\r\na\r\n", None)


@pytest.mark.parametrize("longest", [998, 999, 65_536])
def test_long_lines_pass_unchanged(longest: int) -> None:
    """Threat 9: real mail has lines beyond 998 octets."""
    mail = b"Subject: x\r\n\r\n" + b"y" * longest + b"\r\n"
    for size in (1, 1000, 1 << 20) if longest < 1000 else (7000, 1 << 20):
        wire = mail + b".\r\n"
        assert read([wire[at : at + size] for at in range(0, len(wire), size)])[:2] == (mail, None)


@pytest.mark.parametrize("size", [4000, 65_536, 1 << 20])
@pytest.mark.parametrize("tail", [b"\r\n.\r\n", b"\r\nx\r\n.\r\n", b"z" * 200_000 + b"\r\nx\r\n.\r\n"])
def test_a_line_that_is_too_long_is_refused_not_cut(size: int, tail: bytes) -> None:
    """Threat 9."""
    wire = b"Subject: x\r\n\r\n" + b"y" * 65_537 + tail
    _, fault, rest, _ = read([wire[at : at + size] for at in range(0, len(wire), size)])
    assert fault is replies.BODY_LINE_TOO_LONG
    assert rest == b""


def test_too_big_is_said_of_what_is_too_big() -> None:
    """Threats 2, 10: whatever else is wrong with it, and nothing is written beyond the limit."""
    for wire in (b"x" * 101 + b"\r\n.\r\n", b"a\nb\r\n" + b"x\r\n" * 100 + b".\r\n"):
        for size in (1, 7, 1000):
            data, fault, rest, _ = read([wire[at : at + size] for at in range(0, len(wire), size)], size=100)
            assert fault is replies.TOO_BIG
            assert rest == b""
            assert len(data) <= 100
    assert read([b"x" * 98 + b"\r\n.\r\n"], size=100)[1] is None


def test_a_looping_mail_is_known_by_its_received_headers() -> None:
    """Threat 24: only those in the header count, in any case, whole lines only."""
    header = b"received : by x\r\n" * 25 + b"Received: by x\r\n" * 25
    for size in (1, 13, 1 << 20):

        def cut(wire: bytes, size: int = size) -> list[bytes]:
            return [wire[at : at + size] for at in range(0, len(wire), size)]

        assert read(cut(header + b"\r\nReceived: no\r\n" * 3 + b".\r\n"))[1] is None
        assert read(cut(header + b"X: Received: no\r\n\r\n.\r\n"))[1] is None
        assert read(cut(header + b"RECEIVED: one more\r\n\r\n.\r\n"))[1] is replies.LOOPING


def test_a_trusted_client_may_have_its_newlines_put_right() -> None:
    """Threat 1's option: CR and LF become CR LF, the end stays the true one, NUL stays refused."""
    wire = b"Subject: x\n\nbare\n.\ncr\rlf\n\r\n..dot\r\n.\r\n"
    meant = b"Subject: x\r\n\r\nbare\r\n.\r\ncr\r\nlf\r\n\r\n.dot\r\n"
    for size in (1, 5, 1000):
        chunks = [wire[at : at + size] for at in range(0, len(wire), size)]
        assert read(chunks, normalise=True)[:2] == (meant, None)
    assert read([b"a\0b\r\n.\r\n"], normalise=True)[1] is replies.BARE_IN_DATA
    assert read([b"Received: x\n" * 51 + b"\r\n.\r\n"], normalise=True)[1] is replies.LOOPING


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Problem(Kind.FULL, "no space"), 452),
        (Problem(Kind.UNAVAILABLE, "disk error"), 451),
        (OSError(errno.ENOSPC, "No space left on device"), 452),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 452),
        (OSError(errno.EIO, "Input/output error"), 451),
    ],
)
def test_a_draft_that_fails_defers_the_mail(failure: Exception, code: int) -> None:
    """Threats 79, 80: read on to the end, then say so."""
    reader = DataReader(Sheet(failure), size=1000, line=1000, received=50)
    assert reader.feed(b"x\r\n\r\n") is None
    assert reader.feed(b"QUIT\r\n.\r\n") == b""
    assert reader.fault is not None and reader.fault.code == code
