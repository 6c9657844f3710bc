"""The one table of replies: every problem and verdict has its code, and no reply carries what it was given raw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.problem import Kind, Problem
from gatepost.model.verdict import Category
from gatepost.smtp import replies
from gatepost.smtp.replies import Reply, printable


@pytest.mark.parametrize("kind", Kind)
def test_every_problem_has_its_code(kind: Kind) -> None:
    code, enhanced = replies.PROBLEMS[kind]
    assert code // 100 in (4, 5)
    assert enhanced.split(".")[0] == str(code // 100)
    assert replies.of(Problem(kind, "why")).text == f"{code} {enhanced} why"


@pytest.mark.parametrize("category", [each for each in Category if each > Category.CLEAN])
def test_every_verdict_that_may_refuse_has_its_code(category: Category) -> None:
    code, enhanced = replies.VERDICTS[category]
    assert code // 100 == 5 and enhanced.startswith("5.")
    assert replies.rejected(category, "why", "0" * 32).text == f"{code} {enhanced} why id={'0' * 32}"


def test_the_codes_that_administrators_look_for() -> None:
    def code(category: Category) -> str:
        return " ".join(replies.rejected(category, "x", "1").text.split()[:2])

    assert code(Category.VIRUS) == "554 5.7.0"
    assert code(Category.BLOCKED) == "550 5.7.1"
    assert code(Category.SPAM) == code(Category.BAD_ATTACHMENT) == "554 5.7.1"
    assert code(Category.OVERSIZE) == "552 5.3.4"
    assert code(Category.BAD_HEADERS) == code(Category.BAD_ENCODING) == "554 5.6.0"
    assert code(Category.SENDER_VERIFY) == "550 5.7.26"
    assert replies.accepted("ab12").text == "250 2.0.0 Ok: queued as ab12"
    assert replies.deferred("later", "ab12").text == "451 4.7.1 later id=ab12"


@given(st.text(max_size=2000), st.sampled_from(["", "0" * 32]))
def test_a_reply_is_one_printable_line_of_at_most_512_octets(text: str, mail_id: str) -> None:
    """Threat 29."""
    wire = Reply(550, "5.7.1", text, mail_id).wire
    assert len(wire) <= 512
    assert wire.endswith(b"\r\n")
    assert all(0x20 <= octet < 0x7F for octet in wire[:-2])
    assert wire.startswith(b"550 5.7.1 ")
    if mail_id:
        assert wire[:-2].endswith(f" id={mail_id}".encode())


def test_controls_are_shown_not_sent() -> None:
    """Threats 29, 141."""
    assert printable("a\r\nb\x1b[31m\x00é\u202e") == r"a\r\nb\x1b[31m\x00\xe9\u202e"
    assert printable("x.exe: forbidden by \u201cprograms\u201d") == 'x.exe: forbidden by "programs"'
    assert Reply(550, "5.7.1", "gone\r\n250 2.0.0 Ok").text == r"550 5.7.1 gone\r\n250 2.0.0 Ok"
