"""Writes the commented settings file and its page of the manual from the settings' own DOC."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gatepost.cli.toml import toml_value
from gatepost.filters.registry import entries
from gatepost.settings import Filters, Listener, Settings

Key = tuple[str, Any, str]
"""A key, its default, and why it is there."""
Table = tuple[str, list[Key]]
"""A table's header as it stands in the file, and its keys."""

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
reads the value from a file. An unknown key stops the start with its name and where it stands, and so does a number out
of its range, which is told. `gatepost config show --origin` prints what is in force and which file or variable gave it;
`gatepost check` tries it without starting.

Durations are seconds and sizes octets unless a key says otherwise. This page is made from the code by `make docs`.
"""


def settings_toml() -> str:
    """Return config/gatepost.toml."""
    return "\n".join([FILE_HEAD, *(_toml_table(*table) for table in _tables())])


def settings_page() -> str:
    """Return docs/settings.md."""
    return "\n".join([PAGE_HEAD, *(_page_table(*table) for table in _tables())])


def _tables() -> Iterator[Table]:
    """Yield the tables of the file in the order of Settings; a filter's own table follows [filters]."""
    for field in msgspec.structs.fields(Settings):
        yield f"[{field.name}]", list(_keys(field.type))
        if field.name == "smtp":
            yield "[[smtp.listener]]", list(_keys(Listener))
    for entry in entries(Settings().filters):
        yield f"[filters.{entry.name}]", [(option.name, option.value, option.doc) for option in entry.options]


def _keys(struct: type[msgspec.Struct]) -> Iterator[Key]:
    """Yield the keys of a section; a list of tables has a table of its own."""
    said: dict[str, str] = getattr(struct, "DOC", {})
    for field in msgspec.structs.fields(struct):
        if struct is Filters and field.name == "options":  # the filters' own tables
            continue
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        if isinstance(default, list) and default and isinstance(default[0], msgspec.Struct):
            continue
        yield field.name, msgspec.to_builtins(default), said.get(field.name, "")


def _toml_table(header: str, keys: list[Key]) -> str:
    named = header.startswith(("[[", "[filters."))  # to write its header is to make one
    lines = [f"#{header}" if named else header]
    for key, default, why in keys:
        lines += [f"# {key}: {why}", f"#{key} = {toml_value(default)}"]
    return "\n".join(lines) + "\n"


def _page_table(header: str, keys: list[Key]) -> str:
    rows = [f"| `{key}` | `{toml_value(default)}` | {why.replace('|', chr(92) + '|')} |" for key, default, why in keys]
    return "\n".join([f"## {header}", "", "| key | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"
