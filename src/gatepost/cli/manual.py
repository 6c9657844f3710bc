"""Writes the manual's page of commands from their own help, and names every page that is made from the code."""

from collections.abc import Callable, Iterator

import click
import msgspec

from gatepost.api.openapi import encoded
from gatepost.cli.defaults import settings_page, settings_toml
from gatepost.cli.main import COMMANDS, gatepost

HEAD = """\
# Commands

`gatepost COMMAND --help` says the same at the terminal. Every command that reads settings takes `--config FILE` (or
`GATEPOST_CONFIG`); every command that prints facts takes `--json`. `NO_COLOR` is honoured.

Exit codes are those of `sysexits.h`: 0 done, 64 wrong usage, 65 refused for its content, 66 no such thing, 69 no daemon
or server, 70 a fault of ours, 73 can't be made, 74 input or output failed, 75 try later, 76 the peer speaks otherwise,
77 no permission, 78 wrong settings.

Commands that list or change what is stored (`queue`, `domain`, `user`, `token`, `explain`, `health`) ask the running
daemon over `control.sock` in the store's directory, which only its owner may open: there is never a second writer.

This page is made from the code by `make docs`.
"""


def commands_page() -> str:
    """Return docs/cli.md."""
    root = click.Context(gatepost, info_name="gatepost")
    return "\n".join([HEAD, *_sections(gatepost, root, COMMANDS)])


def _sections(group: click.Group, context: click.Context, names: Iterator[str] | dict[str, str]) -> Iterator[str]:
    for name in sorted(names):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _sections(command, below, command.commands)  # type: ignore[arg-type]
        else:
            yield _section(command, below)


def _section(command: click.Command, context: click.Context) -> str:
    usage = command.collect_usage_pieces(context)
    lines = [f"## {context.command_path}", "", f"    {context.command_path} {' '.join(usage)}", "", command.help or ""]
    rows = [_row(param, context) for param in command.params if isinstance(param, click.Option)]
    if rows:
        lines += ["", "| option | meaning |", "| --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None
    names, meaning = (text.replace("|", "\\|") for text in record)
    return f"| `{names}` | {meaning} |"


def api_page() -> str:
    """Return docs/openapi.json, in which a change of the API shows."""
    return msgspec.json.format(encoded(), indent=2).decode() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "config/gatepost.toml": settings_toml,
    "docs/settings.md": settings_page,
    "docs/cli.md": commands_page,
    "docs/openapi.json": api_page,
}
