"""Holds the manual to the code: every setting, command, filter, error, figure and dependency is told, no other."""

import io
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest

from gatepost.api.dialect import STATUS
from gatepost.cli.main import COMMANDS, gatepost
from gatepost.cli.manual import PAGES
from gatepost.events import Metrics
from gatepost.filters.registry import entries
from gatepost.model.connection import PROPERTIES
from gatepost.model.options import DEFINITIONS, OptionType
from gatepost.model.problem import Kind
from gatepost.settings import Settings
from gatepost.smtp import replies

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MARKDOWN = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def page(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("name", PAGES)
def test_what_is_made_from_the_code_is_current(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), f"{name} is out of date: run `make docs`"


def test_every_setting_has_its_line_of_why() -> None:
    empty = [line for line in page("settings.md").splitlines() if re.fullmatch(r"\| `\w+` \| .* \|  \|", line)]
    assert not empty


def test_every_option_of_a_command_says_what_it_is_for() -> None:
    assert not re.findall(r"^\| `--.*` \| +(?:\[.*)?\|$", page("cli.md"), re.M)


def test_every_filter_has_its_section_and_no_other_is_told_of() -> None:
    told = set(re.findall(r"^### (\w+)$", page("filters.md"), re.M))
    assert told == {entry.name for entry in entries(Settings().filters)}


def test_every_option_and_every_type_of_one_is_told() -> None:
    rows = set(re.findall(r"^\| ([A-Z_]+) \| .+ \|$", page("options.md"), re.M))
    assert rows == set(DEFINITIONS) | {kind.value for kind in OptionType}


def test_every_kind_of_error_stands_with_its_codes() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+ [\d.]+) \| .+ \|$", page("errors.md"), re.M)
    assert {kind: (int(http), smtp) for kind, http, smtp in rows} == {
        kind.value: (STATUS.get(kind, 500), " ".join(map(str, replies.PROBLEMS[kind]))) for kind in Kind
    }


def test_every_case_stands_with_its_reply() -> None:
    told = dict(re.findall(r"^\| ([A-Z_]+) \| (\d+ [\d.]+) \|$", page("errors.md"), re.M))
    assert told == {category.name: " ".join(map(str, reply)) for category, reply in replies.VERDICTS.items()}


def test_every_fixed_reply_is_told_word_for_word() -> None:
    fixed = {value.text for value in vars(replies).values() if isinstance(value, replies.Reply)}
    told = set(re.findall(r"^\| `(\d+ .+?)` \|", page("errors.md"), re.M))
    assert told == fixed


def test_every_figure_is_told() -> None:
    metrics = Metrics()
    labels = {each._name: set(each._labelnames) for each in vars(metrics).values() if each is not metrics.registry}
    assert labels.keys() == {metric.name for metric in metrics.registry.collect()}
    rows = re.findall(r"^\| `(gatepost_\w+?)(?:_total)?` \| (.*?) ?\| .+ \|$", page("operations.md"), re.M)
    told = {name: set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)|, also .*", "", text))) for name, text in rows}
    assert told == labels


def test_every_property_of_a_connection_is_told() -> None:
    (table,) = re.findall(r"^\| property,.*?\n\n", page("dialects.md"), re.M | re.S)
    assert set(re.findall(r"^\| `([a-z.]+)` \|", table, re.M)) == set(PROPERTIES)


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=; ]", each)[0] for each in wanted}
    assert set(re.findall(r"^\| ([a-z][\w.-]*) \| \S", page("dependencies.md"), re.M)) - {"package"} == names


def test_each_change_is_one_line_under_its_theme() -> None:
    """Paragraphs pile up until nobody reads them; the head and the last section have five lines that introduce them."""
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    prose = [line for line in lines if line and not line.startswith(("* ", "#"))]
    assert len(prose) <= 5, f"CHANGELOG.md: a change is one line `* ...` under its theme, not a paragraph: {prose[3:]}"


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", path.read_text()):
        led = path.parent / target if target else path
        assert led.exists(), f"{path.name} links to {target}"
        assert not heading or heading in anchors(led), f"{path.name} links to {target}#{heading}"


def anchors(path: Path) -> set[str]:
    """Return what the headings of a page are linked to by: their words in lower case, joined by hyphens."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", path.read_text(), re.M):
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{name}-1" if name in found else name)
    return found


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_that_a_page_shows_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    text = path.read_text()
    assert set(re.findall(r"(?:`|^    )make ([a-z]+)", text, re.M)) <= targets
    shown = re.findall(r"(?:^    |`|/)gatepost ([a-z]+)", text, re.M)
    assert set(shown) <= COMMANDS.keys(), path.name


@pytest.mark.parametrize(
    "path",
    [path for path in MARKDOWN if path.name != "cli.md"],  # which shows what there is to choose from
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_commands_are_shown_as_they_are_taken(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each line `gatepost ...` of a page, with all its options and arguments."""
    monkeypatch.setattr("sys.stdin", io.StringIO("a password\n"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").mkdir()
    (tmp_path / "people.csv").touch()
    told = re.sub(r" \\\n +", " ", path.read_text())
    for line in re.findall(r"^    (?:sudo -u gatepost |\.venv/bin/|/opt/gatepost/bin/)*gatepost (\w.*)$", told, re.M):
        command: click.Command = gatepost
        context = click.Context(gatepost)
        words = shlex.split(line.partition(" && ")[0], comments=True)
        while isinstance(command, click.Group):
            _, found, words = command.resolve_command(context, words)
            assert found is not None, line
            command = found
        command.make_context(line, words)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_the_code_of_a_page_imports_is_there(path: Path) -> None:
    for room, name in re.findall(r"^ *from (gatepost[.\w]*) import (\w+)$", path.read_text(), re.M):
        assert name in vars(import_module(room)), f"{path.name}: {room} has no {name}"


def test_the_image_and_the_unit_call_commands_that_exist() -> None:
    text = (ROOT / "Dockerfile").read_text() + (ROOT / "systemd/gatepost.service").read_text()
    assert {"serve", "health"} <= COMMANDS.keys()
    assert '"gatepost", "health"' in text
    assert "gatepost serve --config" in text


def test_the_promised_file_is_the_one_in_the_readme() -> None:
    """The settings that a newcomer copies are read without complaint."""
    from gatepost.configuration import load

    (sample,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert set(tomllib.loads(sample)) == {"store", "http", "smtp"}
    assert load(ROOT / "config/container.toml", {}).settings.http.listen == ["0.0.0.0:8025"]
