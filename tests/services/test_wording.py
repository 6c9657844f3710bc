"""The words of mails and pages: whole in every language, compiled as written, replaceable by a deployment."""

import gettext
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import Language
from gatepost.services import wording
from gatepost.services.wording import CATALOGUES, BadTemplate, Wording

TEMPLATES = Path(wording.__file__).parents[1] / "templates"
LANGUAGES = [language.lower() for language in Language if language is not Language.EN]
EXTRACTED = {text for _, _, text, _, _ in extract_from_dir(str(TEMPLATES), [("**.*", "jinja2")])}


def catalogue(language: str) -> Any:
    with (CATALOGUES / language / "LC_MESSAGES/gatepost.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_and_no_other(language: str) -> None:
    found = {message.id: message for message in catalogue(language) if message.id}
    assert EXTRACTED and found.keys() == EXTRACTED
    assert all(message.string and not message.fuzzy for message in found.values())
    assert not [error for message in found.values() for error in message.check(catalogue(language))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    compiled = gettext.translation("gatepost", str(CATALOGUES), [language])
    for message in catalogue(language):
        if message.id:
            assert compiled.gettext(message.id) == message.string, "run `make docs`"


def test_every_template_is_sound() -> None:
    Wording().check()


def test_a_broken_template_of_the_deployment_is_told_at_the_check(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/message.html").write_text("{% if %}")
    with pytest.raises(BadTemplate, match=r"pages/message\.html"):
        Wording(str(tmp_path)).check()
    with pytest.raises(BadTemplate, match="is no folder"):
        Wording(str(tmp_path / "nowhere")).check()


def test_a_template_that_asks_for_what_there_is_not_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("{{ nothing }}")
    with pytest.raises(Problem) as raised:
        Wording(str(tmp_path)).render("x.html", "EN")
    assert raised.value.kind is Kind.UNAVAILABLE


def test_html_is_escaped_and_text_is_not(tmp_path: Path) -> None:
    for name in ("x.html", "x.txt"):
        (tmp_path / name).write_text("{% trans %}Welcome to {{ product }}{% endtrans %}")
    words = Wording(str(tmp_path))
    assert words.render("x.html", "DE", product="<b>") == "Willkommen bei &lt;b&gt;"
    assert words.render("x.txt", "DE", product="<b>") == "Willkommen bei <b>"


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("EN", "March 25, 2026"),
        ("FR", "25 mars 2026"),
        ("DE", "25. März 2026"),
        ("ES", "25 de marzo de 2026"),
        ("DA", "25. marts 2026"),
        ("NB", "25. mars 2026"),
    ],
)
def test_a_moment_is_written_as_people_of_a_language_do(language: str, written: str) -> None:
    said = Wording().moment(1_774_457_446_695, language, "Europe/Oslo")
    assert (written in said and "17" in said) or "5:50" in said
