"""How filters are found, told their options, and put in order."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.filters.mails import TOOLS, ask, make

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools, entries, load
from gatepost.message.mail import Mail
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Finding, OnError
from gatepost.settings import Filters, SettingsError

FOLDER = Path(registry.__file__).parent


def test_filters_are_found_in_the_order_of_cost_and_name() -> None:
    found = load(Filters(), TOOLS)
    files = {path.stem for path in FOLDER.glob("*.py") if "\nFILTER = " in path.read_text(encoding="utf-8")}
    assert {one.name for one in entries(Filters())} == files  # those too that are not enabled
    assert [(one.cost, one.name) for one in found] == sorted((one.cost, one.name) for one in found)


def test_a_disabled_filter_does_not_ask_and_is_listed() -> None:
    settings = Filters(options={"score": {"enabled": False}})
    assert "score" not in [one.name for one in load(settings, TOOLS)]
    assert [(one.name, one.enabled) for one in entries(settings) if one.name == "score"] == [("score", False)]


def test_on_error_is_the_filters_own_or_the_common_one() -> None:
    settings = Filters(on_error=OnError.ACCEPT, options={"size": {"on_error": "quarantine"}})
    said = {one.name: one.on_error for one in load(settings, TOOLS)}
    assert said["size"] is OnError.QUARANTINE
    assert said["score"] is OnError.ACCEPT
    assert said["virus"] is OnError.DEFER, "a virus filter that can't say never lets mail pass unless told so"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"score": {"enabld": True}}, r"filters.score.enabld: unknown key \(did you mean enabled\?\)"),
        ({"score": {"enabled": 1}}, "filters.score.enabled: Expected `bool`, got `int`"),
        ({"score": {"on_error": "shrug"}}, "filters.score.on_error: Invalid enum value 'shrug'"),
        (
            {"attachments": {"encrypted": "maybe"}},
            "filters.attachments.encrypted: Invalid enum value 'maybe'; there are hold, deliver, reject",
        ),
        ({"virus": {"sums_file": "/no/such/file"}}, "filters.virus.sums_file: .*No such file"),
        ({"spma": {}}, "filters.spma: there is no such filter; there are .*score"),
    ],
)
def test_bad_options_are_refused_by_their_key(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(Filters(options=options), TOOLS)


def test_every_option_and_every_filter_says_what_it_is_for() -> None:
    for entry in entries(Filters()):
        assert entry.about.endswith("?")
        assert [option.name for option in entry.options][:2] == ["enabled", "on_error"]
        assert all(option.doc for option in entry.options)


class Stranger:
    """Is it strange?"""

    name = "stranger"
    cost = Cost.DAEMON

    class Options(registry.Options, frozen=True):
        DOC: ClassVar[dict[str, str]] = {**registry.Options.DOC, "level": "how strange"}
        level: int = 3

    def __init__(self, options: Options, tools: Tools) -> None:
        self.level = options.level

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        return ()


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Have another package that offers a filter; a process looks for such packages once."""

    def install(value: str) -> None:
        point = EntryPoint("stranger", value, registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point])

    registry._found.cache_clear()
    yield install
    registry._found.cache_clear()


def test_filters_of_other_packages_are_found_by_their_entry_point(offer: Callable[[str], None]) -> None:
    offer(f"{__name__}:Stranger")
    found = load(Filters(options={"stranger": {"level": 5}}), TOOLS)
    (stranger,) = (one for one in found if one.name == "stranger")
    assert isinstance(stranger, Stranger)
    assert stranger.level == 5


def test_the_filter_of_the_manual_finds_what_it_says(
    offer: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs/filters.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "our_filters.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    offer("our_filters:Shouting")
    shouting = make("shouting", points=2.5)
    (finding,) = ask(shouting, b"Subject: BUY NOW\r\n\r\nHello\r\n")
    assert (finding.symbol, finding.score) == ("SHOUTING", 2.5)
    assert ask(shouting, b"Subject: Minutes\r\n\r\nHELLO\r\n") == []


def test_a_package_that_cannot_be_loaded_is_named(offer: Callable[[str], None]) -> None:
    offer("no_such_package:Filter")
    with pytest.raises(SettingsError, match=r"filters.stranger: no_such_package:Filter can't be loaded"):
        load(Filters(), TOOLS)


def test_two_filters_of_one_name_are_refused(offer: Callable[[str], None]) -> None:
    offer("gatepost.filters.score:Score")
    with pytest.raises(SettingsError, match=r"filters.score: both .* bear this name"):
        load(Filters(), TOOLS)
