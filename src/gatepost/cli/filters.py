"""`gatepost filters`: the filters in the order in which they ask, with their options in force."""

from typing import Any

import click
import msgspec

from gatepost.cli.defaults import toml_value
from gatepost.cli.options import json_option, with_settings
from gatepost.cli.output import show_json, show_table
from gatepost.filters import registry
from gatepost.settings import Settings

HEAD = ("FILTER", "COST", "ON ERROR", "OPTIONS")


@click.command()
@json_option
@with_settings
def command(settings: Settings, as_json: bool) -> None:
    """List the filters in the order in which they ask."""
    facts = [_facts(each, settings) for each in registry.load(settings.filters, settings.limits)]
    if as_json:
        show_json(facts)
    else:
        show_table(HEAD, [_row(**each) for each in facts])


def _facts(each: registry.Filter, settings: Settings) -> dict[str, Any]:
    own = msgspec.convert(settings.filters.options.get(each.name, {}), each.Options)
    return {"name": each.name, "cost": each.cost.name, "on_error": each.on_error, "options": msgspec.to_builtins(own)}


def _row(name: str, cost: str, on_error: str, options: dict[str, Any]) -> tuple[object, ...]:
    return name, cost, on_error, ", ".join(f"{key} = {toml_value(value)}" for key, value in options.items())
