"""Writes the commented settings file and its page of the manual from the settings' own DOC."""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec

from gatepost.settings import Filters, Listener, Settings

FILE_HEAD = """\
# gatepost.toml: every setting with its default, commented out; remove the "#" to change one.
#
# Read from /etc/gatepost/gatepost.toml or --config; conf.d/*.toml beside this file is laid over it, and the
# environment over both: GATEPOST_SECTION__KEY=value. `gatepost config show --origin` says what is in force and why.
# Durations are seconds and sizes octets unless a key says otherwise.
# This file is made by `gatepost config default`.
"""
PAGE_HEAD = """\
# Settings

Read from `/etc/gatepost/gatepost.toml` or the file named by `--config`; `conf.d/*.toml` beside that file is laid over
it in the order of names, and the environment over both. `GATEPOST_SMTP__HOSTNAME=mx.test` sets `[smtp] hostname`;
a value is read as TOML (`["127.0.0.1:8025"]`, `true`, `30`) or else as plain text; `GATEPOST_SECTION__KEY_FILE=/run/x`
reads the value from a file. An unknown key stops the start with its name and where it stands. `gatepost config show
--origin` prints what is in force and which file or variable gave it; `gatepost check` tries it without starting.

Durations are seconds and sizes octets unless a key says otherwise. This page is made from the code by `make docs`.
"""


def toml_value(value: Any) -> str:
    """Return a plain value as TOML."""
    if isinstance(value, Enum):
        return toml_value(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)


def settings_toml() -> str:
    """Return config/gatepost.toml."""
    return "\n".join([FILE_HEAD, *(_toml_table(*table) for table in _tables())])


def settings_page() -> str:
    """Return docs/settings.md."""
    return "\n".join([PAGE_HEAD, *(_page_table(*table) for table in _tables())])


def _tables() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield (header, struct) for each table of the file, in the order of Settings."""
    for field in msgspec.structs.fields(Settings):
        yield f"[{field.name}]", field.type
        if field.name == "smtp":
            yield "[[smtp.listener]]", Listener
        if field.name == "filters":
            yield from ((f"[filters.{name}]", options) for name, options in filter_options())


def filter_options() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield (name, Options) of each filter that comes with Gatepost and has options."""
    from gatepost.filters import registry

    defaults = Settings()
    for each in registry.load(defaults.filters, defaults.limits):
        if each.Options.__struct_fields__:
            yield each.name, each.Options


def _keys(struct: type[msgspec.Struct]) -> Iterator[tuple[str, Any, str]]:
    """Yield (key, default, why) of a table; a list of tables has a table of its own."""
    said: dict[str, str] = getattr(struct, "DOC", {})
    for field in msgspec.structs.fields(struct):
        if struct is Filters and field.name == "options":
            continue
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        if isinstance(default, list) and default and isinstance(default[0], msgspec.Struct):
            continue
        yield field.name, msgspec.to_builtins(default), said.get(field.name, "")


def _toml_table(header: str, struct: type[msgspec.Struct]) -> str:
    lines = [header if not header.startswith("[[") else f"#{header}"]
    for key, default, why in _keys(struct):
        lines += [f"# {key}: {why}", f"#{key} = {toml_value(default)}"]
    return "\n".join(lines) + "\n"


def _page_table(header: str, struct: type[msgspec.Struct]) -> str:
    rows = [
        f"| `{key}` | `{toml_value(default)}` | {why.replace('|', chr(92) + '|')} |"
        for key, default, why in _keys(struct)
    ]
    return "\n".join([f"## {header}", "", "| key | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"
