"""The table of symbols: weights, descriptions, phrases and lists, from the shipped file and the administrator's own."""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import re2  # type: ignore[import-untyped]

from gatepost.filters import registry
from gatepost.filters.literals import literals, telling
from gatepost.message.recent import Recent
from gatepost.model.choices import choices

MAX_MEMORY, MARKS_MEMORY = 8 << 20, 16 << 20
"""Octets that an engine may take for phrases, and for literals; what it does not need it does not take."""

LEAST = 4
"""Octets of each literal of a pattern that is sought by them: shorter ones stand in most texts."""

TOGETHER, WIDE, MARKS = 7, 3, 36_000
"""Patterns that are sought at once, those with gaps, and octets of literals: of more the states between them are so
many that each new text needs some that no other needed; fewer make too many passes."""

_PIECE = re.compile(r"\\.|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]|\.\{[0-9]+,?[0-9]*\}")
"""What of a pattern begins with more than a letter: an escape, a class, or a gap."""

Where = Literal["text", "subject", "links", "sender"]
Part = Literal["symbols", "adverts"]


class Symbol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A symbol: its points, a line on what it says; the phrases that it goes by, if any, or whose (`like`).

    `together`: it holds where of each row a symbol holds, and of `without` none. `unlisted`: it says nothing of mail of
    lists, which may speak so. `excuses`: it takes away no more than what the text says adds. `judged` is what the
    weight was before it was fitted; nothing but the fit reads it.
    """

    weight: float
    judged: float | None = None
    about: str
    where: Where = "text"
    least: int = 1
    patterns: tuple[str, ...] = ()
    like: str = ""
    together: tuple[tuple[str, ...], ...] = ()
    without: frozenset[str] = frozenset()
    unlisted: bool = False
    excuses: bool = False


class Lists(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names that rules go by. `brands`: each with its domains; a `common` one is a word, too, and needs a `service`.

    `software`: brands whose programs servers run, which write mail by that name. `shared`: hosts and domains of brands
    where strangers' pages and files lie.
    """

    brands: dict[str, tuple[str, ...]]
    common: frozenset[str]
    services: frozenset[str]
    software: frozenset[str]
    shared: frozenset[str]
    tlds: frozenset[str]
    shorteners: frozenset[str]
    free_hosts: frozenset[str]
    freemail: frozenset[str]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    symbols: dict[str, Symbol]
    adverts: dict[str, Symbol] = {}
    lists: Lists


class Weights(registry.Options, frozen=True):
    """What a filter that goes by the table can be told. Where it can't say, mail is judged without its points."""

    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "file": "a TOML file in the form of the shipped symbols.toml, laid over it table by table; empty: none",
        "weights": "points of single symbols, such as { HTML_ONLY = 0.2 }; 0 turns one off",
    }
    on_error: registry.OnFailure = "accept"
    file: str = ""
    weights: dict[str, float] = msgspec.field(default_factory=dict)

    def descriptions(self) -> dict[str, str]:
        table = _table(self.file)
        return {name: symbol.about for name, symbol in (*table.symbols.items(), *table.adverts.items())}


def load(options: Weights, part: Part) -> tuple[Mapping[str, Symbol], Lists]:
    """Return the symbols in force and the lists; raise ValueError that begins with the option at fault."""
    table = _table(options.file)
    usual = _sound(table, part) if options.file else _shipped_symbols(part)
    return _weighed(usual, options.weights) if options.weights else usual, table.lists


def _weighed(symbols: Mapping[str, Symbol], weights: Mapping[str, float]) -> dict[str, Symbol]:
    for name in weights:
        if name not in symbols:
            raise ValueError(f"weights.{name}: there is no such symbol")
    changed = {name: msgspec.structs.replace(symbols[name], weight=weight) for name, weight in weights.items()}
    return {**symbols, **changed}


def _sound(table: Table, part: Part) -> Mapping[str, Symbol]:
    """Return the symbols of a part, each of which goes by such as there are."""
    symbols: Mapping[str, Symbol] = getattr(table, part)
    for name, symbol in symbols.items():
        rows = {"together": {part for row in symbol.together for part in row}, "without": symbol.without}
        for key, parts in rows.items():
            if strange := parts - symbols.keys():
                raise ValueError(f"file: symbols.{name}.{key}: there is no symbol {min(strange)}")
    return symbols


@cache
def _shipped_symbols(part: Part) -> Mapping[str, Symbol]:
    return _sound(_shipped_table(), part)


def _table(file: str) -> Table:
    if not file:
        return _shipped_table()
    try:
        return _laid(file, Path(file).read_bytes())
    except OSError as error:
        raise _unread(file, error) from error


@lru_cache(maxsize=2)  # of two filters; it is the same until what stands in the file changes
def _laid(file: str, octets: bytes) -> Table:
    try:
        own = tomllib.loads(octets.decode())
    except ValueError as error:
        raise _unread(file, error) from error
    return _decoded(_over(shipped(), own))


def _unread(file: str, error: Exception) -> ValueError:
    return ValueError(f"file: {file} can't be read: {error}")


@cache
def _shipped_table() -> Table:
    return _decoded(shipped())


def shipped() -> dict[str, Any]:
    """Return the file that comes with Gatepost, undecoded."""
    return tomllib.loads(files("gatepost.filters").joinpath("symbols.toml").read_text("utf-8"))


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another: what stands in both and is no table is taken from the upper one."""
    laid = dict(below)
    for key, value in above.items():
        under = laid.get(key)
        laid[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return laid


def _decoded(raw: dict[str, Any]) -> Table:
    try:
        return msgspec.convert(raw, Table)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        known = choices(Table, path.rstrip("`")) if "enum value" in said else ""
        raise ValueError(f"file: {error}{known}") from error


class Pattern:
    """A phrase, by the symbol that it counts for; `wide` has gaps of any length in place of measured ones, if any."""

    __slots__ = ("compiled", "owner", "wide")

    def __init__(self, owner: str, compiled: Any, wide: Any = None) -> None:
        self.owner = owner
        self.compiled = compiled
        self.wide = wide

    def found(self, octets: bytes) -> bool:
        if self.wide is not None and self.wide.search(octets) is None:
            return False
        return self.compiled.search(octets) is not None


class Phrases:
    """Finds the symbols that go by phrases, of one `where`, in linear time.

    Those are sought of whose literals one stands in the text: literals have few states. Others, whose literals say
    little, are sought some at a time; with a gap (`.{0,40}`) first with gaps of any length, as a measured one has
    a state for each way in which it can overlap.
    """

    def __init__(self, symbols: Mapping[str, Symbol], where: Where) -> None:
        self._options = _options(where, MAX_MEMORY)
        self._options_of_marks = _options(where, MARKS_MEMORY)
        self._lines = "(?m)" if where == "links" else ""
        self._sets: list[tuple[Any, list[Pattern]]] = []
        self._wide: list[tuple[Any, list[Pattern]]] = []
        self._marked: list[tuple[Any, list[Pattern]]] = []  # by their literals
        self._room = 0  # for those of further patterns in the last of these sets
        self._least: dict[str, list[tuple[int, str]]] = {}  # owner -> the symbols it decides, with their numbers
        for name, symbol in symbols.items():
            if symbol.where == where and (symbol.patterns or symbol.like):
                self._least.setdefault(symbol.like or name, []).append((symbol.least, name))
        for owner in self._least:
            for pattern in _patterns(symbols, owner):
                self._add(owner, pattern)
        try:
            for each, _ in (*self._sets, *self._wide, *self._marked):
                each.Compile()
        except re2.error as error:
            raise ValueError(f"file: patterns of {where} are too large to be sought together") from error
        self._recent = Recent(self._sought)

    def _made(self, owner: str, pattern: str) -> Pattern:
        try:
            compiled = re2.compile(self._octets(pattern), self._options)
        except re2.error as error:
            raise ValueError(f"file: symbols.{owner}.patterns: {error.args[0].decode('utf-8', 'replace')}") from error
        wide = _widened(pattern)
        return Pattern(owner, compiled, None if wide == pattern else re2.compile(self._octets(wide), self._options))

    def _octets(self, pattern: str) -> bytes:
        return f"{self._lines}{pattern}".encode()

    def _add(self, owner: str, pattern: str) -> None:
        made = self._made(owner, pattern)
        known = literals(pattern)
        size = sum(len(each.encode()) for each in known or ())
        if known and size <= MARKS and telling(known) >= LEAST:
            new = size > self._room
            self._room = (MARKS if new else self._room) - size
            self._join(self._marked, "|".join(map(re2.escape, sorted(known))), made, new=new)
        elif made.wide is None:
            self._join(self._sets, pattern, made, new=_full(self._sets, TOGETHER))
        else:
            self._join(self._wide, _widened(pattern), made, new=_full(self._wide, WIDE))

    def _join(self, sets: list[tuple[Any, list[Pattern]]], pattern: str, member: Pattern, *, new: bool) -> None:
        if new:
            options = self._options_of_marks if sets is self._marked else self._options
            sets.append((re2.Set.SearchSet(options), []))
        together, members = sets[-1]
        together.Add(self._octets(pattern))
        members.append(member)

    def found(self, *texts: str) -> tuple[str, ...]:
        """Return the symbols whose phrases stand in texts, in the table's order; what stands in several counts once."""
        hits = [pattern for text in texts if text for pattern in self._recent(text)]
        if not hits:
            return ()
        counts = Counter(pattern.owner for pattern in set(hits))
        told = [(counts[owner], decided) for owner, decided in self._least.items() if owner in counts]
        return tuple(name for count, decided in told for least, name in decided if count >= least)

    def _sought(self, text: str) -> tuple[Pattern, ...]:
        octets = text.encode("utf-8", "replace")
        hits: list[Pattern] = []
        for together, members in self._marked:
            if likely := together.Match(octets):
                hits += [members[index] for index in likely if members[index].found(octets)]
        for together, members in self._wide:
            if likely := together.Match(octets):
                hits += [members[index] for index in likely if members[index].compiled.search(octets)]
        for together, members in self._sets:
            if found := together.Match(octets):
                hits += [members[index] for index in found]
        return tuple(hits)


def _options(where: Where, memory: int) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.max_mem = memory
    options.log_errors = False
    options.never_nl = where == "links"  # a URL a line
    return options


def _full(sets: Sequence[tuple[Any, list[Pattern]]], most: int) -> bool:
    """Tell whether the last of some sets has as many patterns as it may, or there is none yet."""
    return not sets or len(sets[-1][1]) == most


def _widened(pattern: str) -> str:
    """Return a pattern with gaps of any length in place of measured ones; one with quoted text stays as it is."""
    if r"\Q" in pattern:
        return pattern
    return _PIECE.sub(lambda piece: ".*" if piece[0].startswith(".{") else piece[0], pattern)


def phrases(file: str, part: Part, where: Where) -> Phrases:
    """Return the phrases of one `where`; those of the shipped table are made once in a process."""
    return Phrases(getattr(_table(file), part), where) if file else _shipped_phrases(part, where)


@cache
def _shipped_phrases(part: Part, where: Where) -> Phrases:
    return Phrases(getattr(_shipped_table(), part), where)


def _patterns(symbols: Mapping[str, Symbol], owner: str) -> tuple[str, ...]:
    if owner not in symbols:
        raise ValueError(f"file: there is no symbol {owner} whose phrases another could go by")
    return symbols[owner].patterns
