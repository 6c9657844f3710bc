"""`gatepost config`: the settings in force, where each comes from, and the commented file of all defaults."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from gatepost.cli.options import config_option, json_option, load_settings
from gatepost.cli.output import masked, show_json
from gatepost.cli.toml import toml_value
from gatepost.settings import Settings


@click.group()
def command() -> None:
    """Show the settings, and where each comes from."""


@command.command()
@config_option
@json_option
@click.option("--origin", is_flag=True, help="Say which file or variable gave each value.")
def show(config: Path | None, as_json: bool, origin: bool) -> None:
    """Print every setting in force, one `section.key = value` a line."""
    loaded = load_settings(config)
    rows = [(key, masked(key, value), loaded.origin.get(key, "default")) for key, value in entries(loaded.settings)]
    if as_json:
        show_json([{"key": key, "value": value, "origin": source} for key, value, source in rows])
        return
    for key, value, source in rows:
        line = f"{key} = {toml_value(value)}"
        click.echo(f"{line}  # {source}" if origin else line)


@command.command()
def default() -> None:
    """Print the commented settings file with every key and its default."""
    from gatepost.cli.defaults import settings_toml  # brings every filter with it

    click.echo(settings_toml(), nl=False)


def entries(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield ("section.key", value) for each setting, the filters' own tables last."""
    for section, table in msgspec.to_builtins(settings).items():
        options = table.pop("options", {}) if section == "filters" else {}
        for key, value in table.items():
            yield f"{section}.{key}", value
        for name, own in options.items():
            for key, value in own.items():
                yield f"filters.{name}.{key}", value
