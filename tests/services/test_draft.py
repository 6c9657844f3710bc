"""How the addresses of a draft are read."""

import pytest

from gatepost.message.compose import Party, compose
from gatepost.model.problem import Kind, Problem
from gatepost.services.draft import Draft, Thread, letter, part_addresses, read_party

READ = {
    "ada@far.example": Party("ada@far.example"),
    " <ada@far.example> ": Party("ada@far.example"),
    "Ada Lovelace <ada@far.example>": Party("ada@far.example", "Ada Lovelace"),
    "Lovelace, Ada <ada@far.example>": Party("ada@far.example", "Lovelace, Ada"),
    '"Lovelace, Ada" <ada@far.example>': Party("ada@far.example", "Lovelace, Ada"),
    '"A \\"<a@b.example>, c\\"" <ada@far.example>': Party("ada@far.example", 'A "<a@b.example>, c"'),
    "ada@far.example <ada@far.example>": Party("ada@far.example", "ada@far.example"),
    '"Ada" "L" <ada@far.example>': Party("ada@far.example", '"Ada" "L"'),
}
SEVERAL = [
    "Ada <ada@far.example>, Zoe <zoe@far.example>",
    '"Ada" <ada@far.example>, "Zoe" <zoe@far.example>',
    "ada@far.example, Zoe <zoe@far.example>",
    "ada@far.example; Zoe <zoe@far.example>",
    "<ada@far.example> Zoe <zoe@far.example>",
]


@pytest.mark.parametrize("text", READ)
def test_an_address_is_read_alone_or_with_its_name(text: str) -> None:
    assert read_party(text, "/to") == READ[text]


@pytest.mark.parametrize("text", SEVERAL)
def test_several_addresses_are_no_name_and_address(text: str) -> None:
    with pytest.raises(Problem, match="more than one mail address") as told:
        read_party(text, "/to/0")
    assert (told.value.kind, told.value.pointer) == (Kind.MALFORMED, "/to/0")


def test_an_address_that_is_far_too_long_is_refused_unread() -> None:
    for text in (" " * 1001, "a" * 1001, '"' + '\\"' * 500 + "<a@far.example>"):
        with pytest.raises(Problem, match="at most 1000 characters"):
            read_party(text, "/to/0")
    with pytest.raises(Problem, match="no domain"):
        read_party(" " * 1000, "/to/0")


def test_addresses_are_parted_outside_of_quoted_names() -> None:
    text = '"Lovelace, Ada" <ada@far.example>; zoe@far.example,, "a\\",b" <ab@far.example>, "c\\\\" <c@far.example>, d'
    assert part_addresses(text) == [
        '"Lovelace, Ada" <ada@far.example>',
        "zoe@far.example",
        '"a\\",b" <ab@far.example>',
        '"c\\\\" <c@far.example>',
        "d",
    ]


def test_a_subject_has_an_end() -> None:
    ada = Party("ada@far.example")
    told = letter(Draft(to=(ada,), subject="é" * 10_000), ada, (), Thread(), date=0, message_id="1@far.example")
    assert compose(told)
    with pytest.raises(Problem, match="at most 10000 characters") as refused:
        letter(Draft(to=(ada,), subject="é" * 10_001), ada, (), Thread(), date=0, message_id="1@far.example")
    assert (refused.value.kind, refused.value.pointer) == (Kind.MALFORMED, "/subject")
