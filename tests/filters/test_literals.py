"""The literals of an expression: where it is found, one of them stands."""

import pytest

from gatepost.filters.literals import MOST, literals, telling


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("parcel", {"parcel"}),
        (r"\bparcel\b", {"parcel"}),
        ("parcels?", {"parcel", "parcels"}),
        ("parcels*", {"parcel"}),
        ("par(cels)+", {"cels"}),
        ("pa[ry]cel", {"parcel", "paycel"}),
        ("a parcel|letters?", {"a parcel", "letter", "letters"}),
        ("(your|the) (parcel|letter)", {"your parcel", "your letter", "the parcel", "the letter"}),
        ("(?i:parcel)(?P<day>today)", {"parceltoday"}),
        (r"parcel.{0,9}waits", {"parcel"}),
        (r"[0-9]+ parcels", {" parcels"}),
        (r"wait\.{3}", {"wait"}),
        (r"us\$ ?[0-9]", {"us$", "us$ "}),
        ("(?m)^parcel", {"parcel"}),
        ("посылк[а-я]+", {"посылк"}),
        ("x{2}yes", {"yes"}),
        ("x{0}yes", {"yes"}),
        ("(ab){2,}", {"ab"}),
    ],
)
def test_the_literals_of_an_expression_are_read_out_of_it(expression: str, found: set[str]) -> None:
    assert literals(expression) == found


@pytest.mark.parametrize("expression", [r"\w+", "parcel|", "(parcel)?", "[a-z]+|parcel", "parcel|.*", ".", ""])
def test_an_expression_that_is_found_without_any_literal_has_none(expression: str) -> None:
    assert literals(expression) is None


@pytest.mark.parametrize(
    "expression", [r"\Qa|b\E", r"\pL", r"\x41bc", "(?-i:Parcel)", "x{,2}", "(?!no)yes", "a)b", "(a", "parcel(?U)*?"]
)
def test_an_expression_in_which_something_is_not_understood_has_none(expression: str) -> None:
    assert literals(expression) is None


def test_pieces_that_would_make_too_many_literals_stay_apart() -> None:
    tens = "(?:" + "|".join(f"ten{number}" for number in range(10)) + ")"
    found = literals(f"{tens} and {tens}")
    assert found is not None
    assert len(found) <= MOST


def test_literals_tell_as_much_as_the_shortest_of_them() -> None:
    assert telling(["your account", " at "]) == 2
    assert telling(["包裹"]) == 6
    assert telling([" "]) == 0
