"""Finds the filters, decodes their options, and says in which order they ask.

A filter is a file of this package, or of another one that names it under the entry-point group `gatepost.filters`. It
has one class and `FILTER = <that class>`; nothing else needs to be edited.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterable, Iterator, Mapping
from enum import IntEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from gatepost import filters as package
from gatepost.dns import Resolver
from gatepost.message.mail import Mail
from gatepost.model.choices import choices, likely
from gatepost.model.envelope import Recipient
from gatepost.model.memory import Memory
from gatepost.model.tenant import Domain
from gatepost.model.verdict import Finding, OnError
from gatepost.settings import Filters, Limits, Section, SettingsError

GROUP = "gatepost.filters"


class Cost(IntEnum):
    """What a question costs; the cheap ask first."""

    MEMORY = 0
    PARSE = 1
    DNS = 2
    DAEMON = 3


OnFailure = Literal["", "defer", "accept", "quarantine"]


class Options(Section, frozen=True):
    """What every filter can be told; a filter's own Options extend it."""

    DOC: ClassVar[dict[str, str]] = {
        "enabled": "false: this question is not asked",
        "on_error": "defer, accept or quarantine when this filter can't say; empty: as in [filters]",
    }
    enabled: bool = True
    on_error: OnFailure = ""

    @property
    def in_force(self) -> bool:
        """Tell whether the question is asked."""
        return self.enabled

    def descriptions(self) -> Mapping[str, str]:
        """Return what each symbol means, where the filter goes by a table that says so; raise ValueError as it does."""
        return {}


Alarm = Callable[[str, str, str], None]
"""Tells the administrator of a fault outside the mail: the list, engine or "dns", why in a word, a sentence."""


def _silent(source: str, why: str, text: str) -> None:
    """Tell nobody."""


Served = Callable[[str], Domain | None]
"""Returns the domain that a name is, or is another name of, if this gateway takes its mail; None for any other."""


def _nobody(name: str) -> Domain | None:
    return None


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter may use beside the mail; a filter takes what it needs and leaves the rest."""

    limits: Limits
    resolver: Resolver
    hostname: str = "localhost"
    timeout: float = 20.0  # seconds that the filters of one cost have
    alarm: Alarm = _silent
    served: Served = _nobody
    memory: Memory = msgspec.field(default_factory=Memory)  # of what they learn or count


class Filter(Protocol):
    """One question about a mail. It states facts; it never stores, logs, or decides what follows.

    `Options` are decoded from `[filters.<name>]`. The constructor takes (options, tools) and raises ValueError for
    an option that can't be used, in words that begin with its key. `on_error` is set by the registry. One that seeks
    viruses has a `scanner`: its name in X-Virus-Scanned. One whose answer hangs on mail, proofs and its own options
    alone, not on recipients, memory or a file, may say `anywhere = True`: while many mails come it is asked in another
    process, too.
    """

    name: ClassVar[str]
    cost: ClassVar[Cost]
    Options: ClassVar[type[Options]]
    on_error: OnError

    def key(self, recipient: Recipient) -> Hashable:
        """Return what the answer depends on beside the mail; recipients with equal keys share one run."""
        ...

    def examine(self, mail: Mail, recipient: Recipient) -> Coroutine[Any, Any, Iterable[Finding]]:
        """Return what was found; an exception counts as UNSURE."""
        ...


class Option(msgspec.Struct, frozen=True):
    """One key of a filter's table, as it is set."""

    name: str
    value: Any
    doc: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A filter as `gatepost filters` lists it."""

    name: str
    about: str
    cost: Cost
    enabled: bool
    on_error: OnError
    options: tuple[Option, ...]


def load(settings: Filters, tools: Tools) -> list[Filter]:
    """Make the enabled filters, in the order (cost, name); raise SettingsError that names the key at fault."""
    made = []
    for kind, options in _configured(settings):
        if options.in_force:
            made.append(_make(kind, options, settings, tools))
    return made


def anywhere(filters: Iterable[Filter]) -> list[str]:
    """Return the names of those that may be asked in another process."""
    return [one.name for one in filters if getattr(one, "anywhere", False)]


def alone(settings: Filters, names: Collection[str]) -> Filters:
    """Return settings by which these filters are loaded; of the others they tell nothing."""
    tables = {
        kind.name: settings.options.get(kind.name, {}) if kind.name in names else {"enabled": False}
        for kind in _found()
    }
    return msgspec.structs.replace(settings, options=tables)


def entries(settings: Filters) -> list[Entry]:
    """Describe all filters, the disabled ones too, in the order in which they ask."""
    return [
        Entry(
            name=kind.name,
            about=(kind.__doc__ or "").strip().split("\n")[0],
            cost=kind.cost,
            enabled=options.in_force,
            on_error=_on_error(options, settings),
            options=tuple(
                Option(name, msgspec.to_builtins(getattr(options, name)), options.DOC.get(name, ""))
                for name in options.__struct_fields__
            ),
        )
        for kind, options in _configured(settings)
    ]


def descriptions(settings: Filters) -> dict[str, Mapping[str, str]]:
    """Return what the symbols of the enabled filters mean: filter -> symbol -> a line, where a table says so."""
    return {kind.name: options.descriptions() for kind, options in _configured(settings) if options.in_force}


def _configured(settings: Filters) -> Iterator[tuple[type[Filter], Options]]:
    kinds = {kind.name: kind for kind in _found()}
    for name in settings.options:
        if name not in kinds:
            raise SettingsError(f"filters.{name}: there is no such filter; there are {', '.join(sorted(kinds))}")
    for kind in sorted(kinds.values(), key=lambda each: (each.cost, each.name)):
        yield kind, _decode(kind, settings.options.get(kind.name, {}))


@cache
def _found() -> tuple[type[Filter], ...]:
    """Return the filters of this package, then those of others; two of one name are refused.

    The installed packages are searched once: one that comes while this process lives is not heard of.
    """
    seen: dict[str, tuple[str, type[Filter]]] = {}
    for origin, kind in (*_own(), *_foreign()):
        if kind.name in seen:
            raise SettingsError(f"filters.{kind.name}: both {seen[kind.name][0]} and {origin} bear this name")
        seen[kind.name] = origin, kind
    return tuple(kind for _, kind in seen.values())


def _own() -> Iterator[tuple[str, type[Filter]]]:
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        kind = getattr(importlib.import_module(info.name), "FILTER", None)
        if kind is not None:
            yield info.name, kind


def _foreign() -> Iterator[tuple[str, type[Filter]]]:
    for point in entry_points(group=GROUP):
        try:
            yield point.value, point.load()
        except (ImportError, AttributeError) as error:
            raise SettingsError(f"filters.{point.name}: {point.value} can't be loaded: {error}") from error


def _decode(kind: type[Filter], table: dict[str, Any]) -> Options:
    try:
        return msgspec.convert(table, kind.Options)
    except msgspec.ValidationError as error:
        raise SettingsError(_blame(kind, str(error))) from error


def _blame(kind: type[Filter], said: str) -> str:
    """Turn msgspec's words into `filters.<name>.<key>: what is wrong`."""
    text, _, where = said.partition(" - at `$")
    path = where.rstrip("`")
    if text.startswith("Object contains unknown field `"):
        key = text.split("`")[1]
        return f"filters.{kind.name}{path}.{key}: unknown key{likely(kind.Options, path, key)}"
    return f"filters.{kind.name}{path}: {text}{choices(kind.Options, path) if 'enum value' in text else ''}"


def _make(kind: type[Filter], options: Options, settings: Filters, tools: Tools) -> Filter:
    try:
        made: Filter = kind(options, tools)  # type: ignore[call-arg]  # a Protocol can't tell of constructors
    except ValueError as error:
        raise SettingsError(f"filters.{kind.name}.{error}") from error
    made.on_error = _on_error(options, settings)
    return made


def _on_error(options: Options, settings: Filters) -> OnError:
    return OnError(options.on_error) if options.on_error else settings.on_error
