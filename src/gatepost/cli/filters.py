"""`gatepost filters`: the filters in the order in which they ask, with their options in force."""

import os

import click

from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, with_settings
from gatepost.cli.output import show_json, show_table
from gatepost.cli.toml import toml_value
from gatepost.filters.registry import Entry, entries
from gatepost.settings import Settings, SettingsError

HEAD = ("FILTER", "COST", "ON ERROR", "OPTIONS", "ASKS")
COMMON = ("enabled", "on_error")  # options that every filter has; they have columns of their own


@click.command()
@json_option
@with_settings
def command(settings: Settings, as_json: bool) -> None:
    """List the filters in the order in which they ask."""
    try:
        found = entries(settings.filters)
    except SettingsError as error:
        raise Failure(str(error), os.EX_CONFIG) from error
    if as_json:
        show_json([{**_facts(each), "about": each.about} for each in found])
    else:
        show_table(HEAD, map(_row, found))


def _facts(each: Entry) -> dict[str, object]:
    return {
        "name": each.name,
        "cost": each.cost.name,
        "enabled": each.enabled,
        "on_error": each.on_error,
        "options": {option.name: option.value for option in each.options},
    }


def _row(each: Entry) -> tuple[object, ...]:
    options = ", ".join(f"{one.name} = {toml_value(one.value)}" for one in each.options if one.name not in COMMON)
    return each.name, each.cost.name if each.enabled else "off", each.on_error, options or None, each.about
