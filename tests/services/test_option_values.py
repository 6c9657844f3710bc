"""The rule of each option type: the form in which a value is kept, and what is refused."""

import base64

import pytest

from gatepost.model.options import DEFINITIONS, Definition, OptionType, Scope
from gatepost.model.problem import Kind, Problem
from gatepost.services.option_values import LARGEST_DOC, LONGEST_LINE, LONGEST_TEXT, read_value


def option(kind: OptionType, *values: str) -> Definition:
    return Definition(name="X", type=kind, scopes=frozenset({Scope.PLATFORM}), values=values or None)


def logo(size: int) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(b"x" * size).decode()


KEPT = [
    (OptionType.STRING, "été à l'ouest", "été à l'ouest"),
    (OptionType.STRING, "", ""),
    (OptionType.STRING, "x" * LONGEST_LINE, "x" * LONGEST_LINE),
    (OptionType.TEXT, "one\ntwo\tthree\r\n", "one\ntwo\tthree\r\n"),
    (OptionType.COLOR, "#Ab1", "#aabb11"),
    (OptionType.COLOR, "#12AbEf", "#12abef"),
    (OptionType.EMAIL, "Jon.Snow@Winterfell.NET", "Jon.Snow@winterfell.net"),
    (OptionType.EMAIL, "jön@münchen.test", "jön@xn--mnchen-3ya.test"),
    (OptionType.BOOL, "TRUE", "true"),
    (OptionType.BOOL, "1", "true"),
    (OptionType.BOOL, "off", "false"),
    (OptionType.URL, "https://help.winterfell.net:8443/a?b=c#d", "https://help.winterfell.net:8443/a?b=c#d"),
    (OptionType.URL, "http://[2001:db8::1]/", "http://[2001:db8::1]/"),
    (OptionType.DOC, logo(LARGEST_DOC), logo(LARGEST_DOC)),
    (OptionType.DOC, "https://winterfell.net/terms.pdf", "https://winterfell.net/terms.pdf"),
    (OptionType.TIMEZONE, "Europe/Paris", "Europe/Paris"),
    (OptionType.TIMEZONE, "UTC", "UTC"),
    (OptionType.HOST, "Protect.Winterfell.NET", "protect.winterfell.net"),
    (OptionType.HOST, "protect.winterfell.net:08443", "protect.winterfell.net:8443"),
    (OptionType.HOST, "192.0.2.1", "192.0.2.1"),
    (OptionType.HOST, "[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
    (OptionType.CREDENTIALS, "jon:gh:ost", "jon:gh:ost"),
    (OptionType.PASSWORD, " hear me roar ", " hear me roar "),
]
REFUSED = [
    (OptionType.STRING, "two\nlines"),
    (OptionType.STRING, "x" * (LONGEST_LINE + 1)),
    (OptionType.TEXT, "bell\x07"),
    (OptionType.TEXT, "x" * (LONGEST_TEXT + 1)),
    (OptionType.COLOR, "red"),
    (OptionType.COLOR, "#12345"),
    (OptionType.COLOR, "#１２３"),
    (OptionType.EMAIL, "jon"),
    (OptionType.EMAIL, "jon@[192.0.2.1]"),
    (OptionType.EMAIL, "jon@winterfell.net\r\nBcc: x@y.test"),
    (OptionType.BOOL, "maybe"),
    (OptionType.BOOL, ""),
    (OptionType.URL, "javascript:alert(1)"),
    (OptionType.URL, "https://"),
    (OptionType.URL, "https://jon@winterfell.net/"),
    (OptionType.URL, "https://winterfell.net/a b"),
    (OptionType.URL, "https://winterfell.net:0/"),
    (OptionType.URL, "//winterfell.net/"),
    (OptionType.DOC, logo(LARGEST_DOC + 3)),
    (OptionType.DOC, "data:text/html,<b>"),
    (OptionType.DOC, "data:image/png;base64,abc"),
    (OptionType.DOC, "http://winterfell.net/terms.pdf"),
    (OptionType.TIMEZONE, "Westeros/Winterfell"),
    (OptionType.TIMEZONE, "../../etc/passwd"),
    (OptionType.HOST, "https://winterfell.net"),
    (OptionType.HOST, "winterfell.net:65536"),
    (OptionType.HOST, "winter fell.net"),
    (OptionType.HOST, "[::g]"),
    (OptionType.HOST, "999.1.1.1"),
    (OptionType.HOST, ""),
    (OptionType.CREDENTIALS, "jon"),
    (OptionType.CREDENTIALS, ":ghost"),
    (OptionType.CREDENTIALS, "jon:"),
    (OptionType.PASSWORD, ""),
    (OptionType.PASSWORD, "a\nb"),
]


def test_every_type_is_tried() -> None:
    assert {kind for kind, *_ in KEPT} | {OptionType.LIST} == set(OptionType)
    assert {kind for kind, _ in REFUSED} | {OptionType.LIST} == set(OptionType)


@pytest.mark.parametrize(("kind", "given", "kept"), KEPT)
def test_a_value_is_kept_in_one_form(kind: OptionType, given: str, kept: str) -> None:
    assert read_value(option(kind), given) == kept


@pytest.mark.parametrize(("kind", "given"), REFUSED)
def test_what_the_type_does_not_take_is_refused(kind: OptionType, given: str) -> None:
    with pytest.raises(Problem) as refusal:
        read_value(option(kind), given)
    assert refusal.value.kind is Kind.MALFORMED and refusal.value.pointer == "/value"
    assert f"X is of the type {kind}: " in refusal.value.detail


@pytest.mark.parametrize("kind", [OptionType.LIST, OptionType.STRING, OptionType.COLOR])
def test_only_the_values_that_the_definition_allows_are_taken(kind: OptionType) -> None:
    allowed = option(kind, "#aaaaaa", "#bbbbbb")
    assert read_value(allowed, "#bbbbbb") == read_value(allowed, "#BBBBBB") == "#bbbbbb"  # contract A6
    with pytest.raises(Problem, match="X must be one of #aaaaaa, #bbbbbb"):
        read_value(allowed, "#cccccc")


@pytest.mark.parametrize(
    "given", ["fifteen-letters", "sixteen letters!", "sixteen-lettres-é", "sixteen-letters!\t"], ids=range(4)
)
def test_a_secret_that_could_be_guessed_or_does_not_fit_a_field_is_refused(given: str) -> None:
    with pytest.raises(Problem, match=r"at least 16 ASCII|of the type"):
        read_value(DEFINITIONS["CONNECTOR_SECRET"], given)


def test_a_word_of_sixteen_letters_is_a_secret() -> None:
    assert read_value(DEFINITIONS["CONNECTOR_SECRET"], "sixteen-letters!") == "sixteen-letters!"


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=lambda each: each.name)
def test_every_definition_fits_its_own_rule(definition: Definition) -> None:
    assert definition.scopes and (definition.type is not OptionType.LIST or definition.values)
    if definition.default is not None:
        assert read_value(definition, definition.default) == definition.default
