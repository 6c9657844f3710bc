"""Holds the rules of residence (docs/architecture.md): who may import whom, which library where, the house's form."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src/gatepost"
FILES = sorted(SOURCE.rglob("*.py"))
MAX_LINES = 400

GROUND = {
    "model",
    "certificates",
    "settings",
    "configuration",
    "events",
    "nameserver",
    "dns",
    "sockets",
    "turns",
    "lookout",
    "process",
    "beside",
}
# room -> the rooms that it may import, beside itself
MAY_IMPORT = {
    "model": set(),
    "settings": {"model"},
    "configuration": {"model", "settings"},
    "events": {"model"},
    "nameserver": {"settings", "events"},
    "dns": {"settings", "events", "nameserver"},
    "sockets": set(),
    "certificates": {"events"},
    "turns": {"model"},
    "lookout": set(),
    "process": set(),
    "beside": set(),
    "message": {"model", "settings", "beside"},
    "mailauth": {"model", "message", "dns", "lookout"},
    "store": {"model", "settings", "events", "turns", "lookout"},
    "filters": {"model", "settings", "message", "mailauth", "dns"},
    "mta": GROUND | {"message", "mailauth", "store", "filters"},
    "services": GROUND | {"message", "mailauth", "store", "filters", "mta"},
    "smtp": GROUND | {"mta", "services"},
    "api": GROUND | {"services"},
    "web": GROUND | {"services"},
    "app": GROUND | {"message", "mailauth", "store", "filters", "mta", "services", "smtp", "api", "web"},
    "exporter": GROUND | {"message", "store", "services", "api"},
    "cli": GROUND | {"message", "mailauth", "store", "filters", "mta", "services", "smtp", "api", "web", "app"},
    "__main__": {"cli"},
}
# library -> where it may be imported; a name ending in "/" is a room, else a file
THIRD_PARTY = {
    "aiosmtpd": {"smtp/"},
    "starlette": {"api/", "web/"},
    "uvicorn": {"api/", "app.py"},
    "aiosmtplib": {"mta/connect.py", "mta/replies.py", "mta/wire.py"},
    "dns": {"nameserver.py", "dns.py"},
    "dkim": {"mailauth/"},
    "authres": {"mailauth/report.py"},
    "spftrace": {"mailauth/"},
    "httpx2": {"mta/sts.py", "mta/poster.py", "filters/rspamd.py"},
    "sqlite3": {"store/"},
    "sqlite_utils": {"store/"},
    "argon2": {"services/"},
    "scramp": {"services/scram.py"},
    "joserfc": {"services/jwt.py"},
    "pyotp": {"services/totp.py"},
    "jinja2": {"services/wording.py"},
    "babel": {"services/wording.py"},
    "segno": {"services/totp.py"},
    "cryptography": {"certificates.py", "store/", "mailauth/", "message/pdf_lock.py"},
    "click": {"cli/"},
    "xlsxwriter": {"api/workbook.py"},
    "zipstream": {"services/content.py"},
    "nh3": {"message/"},
    "PIL": {"message/qr.py"},
    "zxingcpp": {"message/qr.py"},
    "python_multipart": {"api/"},
    "cql": {"api/cql.py"},
}
# Only these answer any exception, by a mail that is tried again or goes unsigned (architecture 9); the others may
# clean up and raise.
CATCHES_ALL = {"events.py", "mta/pipeline.py", "mta/reader.py", "mta/relay.py", "mta/signing.py", "smtp/listener.py"}
BAD_NAME = re.compile(r"(Manager|Helper|Helpers|Util|Utils|Base|Impl)\Z")
ASKED = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.ExceptHandler, ast.Call, ast.Constant)
HOMELESS = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def room(path: Path) -> str:
    return name(path).split("/")[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a file of the kinds that rules ask for: to walk through it takes longer than to hold most."""
    return tuple(node for node in ast.walk(tree(path)) if isinstance(node, ASKED))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports; `from a import b` gives "a.b"."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def of_room(which: str) -> list[Path]:
    return [path for path in FILES if room(path) == which]


def of_each(files: list[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make one test of a rule for files; it tells of every file that breaks the rule."""

    def hold(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            broken = []
            for path in files:
                try:
                    rule(path)
                except AssertionError as error:
                    error.add_note(name(path))
                    broken.append(error)
            if broken:
                raise ExceptionGroup(f"{len(broken)} files break a rule of residence", broken)

        return test

    return hold


@of_each(FILES)
def test_imports_point_down(path: Path) -> None:
    own = room(path)
    if own == "__init__":
        return
    for target in imports(path):
        if target.startswith("gatepost."):
            other = target.split(".")[1]
            assert other == own or other in MAY_IMPORT[own], f"{name(path)} may not import {target}"


@of_each(FILES)
def test_each_protocol_library_has_one_room(path: Path) -> None:
    for target in imports(path):
        homes = THIRD_PARTY.get(target.split(".")[0])
        if homes is not None:
            at_home = name(path) in homes or f"{room(path)}/" in homes
            assert at_home, f"{name(path)} may not import {target}"


def test_every_room_is_known() -> None:
    assert {room(path) for path in FILES} - {"__init__"} <= set(MAY_IMPORT)


@of_each(FILES)
def test_every_file_begins_with_a_sentence_that_says_what_it_is_for(path: Path) -> None:
    said = ast.get_docstring(tree(path))
    assert said, f"{name(path)} has no docstring"
    assert path.read_text().startswith('"""'), "the docstring stands in the first line"
    assert re.search(r"[.:]\Z", said.splitlines()[0]), said.splitlines()[0]


@of_each([path for path in FILES if path.name == "__init__.py" and path.parent != SOURCE])
def test_an_init_holds_a_docstring_and_nothing_else(path: Path) -> None:
    assert len(tree(path).body) == 1


@of_each(FILES)
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES or name(path) == "settings.py", f"{name(path)} has {lines} lines"


@of_each(FILES)
def test_nothing_is_homeless_and_names_are_the_fields_own(path: Path) -> None:
    assert path.name not in HOMELESS
    bad = [node.name for node in nodes(path) if isinstance(node, ast.ClassDef) and BAD_NAME.search(node.name)]
    assert not bad


@of_each(FILES)
def test_only_the_road_catches_every_exception(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.ExceptHandler) and ast.unparse(node.body[-1]) != "raise":
            caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
            names = {ast.unparse(each) if each else "everything" for each in caught}
            if names & {"Exception", "BaseException", "everything"}:
                assert name(path) in CATCHES_ALL, f"{name(path)}:{node.lineno} catches {names}"


@of_each(of_room("model"))
def test_the_words_do_no_io_and_read_no_clock(path: Path) -> None:
    forbidden = {
        "os",
        "io",
        "time",
        "socket",
        "asyncio",
        "random",
        "secrets",
        "pathlib",
        "threading",
        "http",
        "smtplib",
    }
    assert not {target.split(".")[0] for target in imports(path)} & forbidden
    calls = {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}
    assert not {call for call in calls if call == "open" or call.endswith((".now", ".today", ".utcnow"))}


@of_each(of_room("filters"))
def test_a_filter_knows_no_other_filter(path: Path) -> None:
    questions = {file.stem for file in of_room("filters") if asks(file)}
    if path.stem in questions:
        others = {target.split(".")[2] for target in imports(path) if target.startswith("gatepost.filters.")}
        assert not others & questions


def asks(path: Path) -> bool:
    """Tell whether a file of the filters room is a filter: it names one as FILTER."""
    return any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FILTER" for node in tree(path).body)


SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|INSERT (OR \w+ )?INTO\s|UPDATE\s\w+\sSET\s|DELETE FROM\s|PRAGMA\s|CREATE TABLE\s)",
    re.I | re.S,
)


@of_each([path for path in FILES if room(path) != "store"])
def test_only_the_store_says_sql(path: Path) -> None:
    texts = (node.value for node in nodes(path) if isinstance(node, ast.Constant))
    assert not [text for text in texts if isinstance(text, str) and SQL.match(text)]


@of_each([path for path in FILES if room(path) in ("model", "store", "filters", "services")])
def test_the_core_says_no_status_codes(path: Path) -> None:
    """Core rooms raise a Problem; its code is the door's matter (architecture 7)."""
    texts = (node.value for node in nodes(path) if isinstance(node, ast.Constant))
    assert not [text for text in texts if isinstance(text, str) and re.match(r"[45]\d\d [45]\.\d\.\d", text)]
