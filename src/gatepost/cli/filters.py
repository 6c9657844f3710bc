"""`gatepost filters`: the filters in the order in which they ask, with their options in force."""

import os
from pathlib import Path
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, with_settings
from gatepost.cli.output import masked, show_json, show_table
from gatepost.cli.toml import toml_value
from gatepost.filters.registry import Cost, Entry, entries
from gatepost.settings import Settings, SettingsError

HEAD = ("FILTER", "COST", "ON ERROR", "ASKS", "OPTIONS")
SERVERS = ("ENGINE", "SERVER", "STATE", "FAILURES", "BUSY", "LAST ERROR")
COMMON = ("enabled", "on_error")  # options that every filter has; they have columns of their own


@click.command()
@json_option
@with_settings
def command(settings: Settings, as_json: bool) -> None:
    """List the filters in the order in which they run.

    Of engines (ClamAV, Rspamd and the like) the servers follow, and how they do, if a daemon runs with these settings.
    """
    try:
        found = entries(settings.filters)
    except SettingsError as error:
        raise Failure(str(error), os.EX_CONFIG) from error
    servers = _servers(settings) if any(each.cost is Cost.DAEMON and each.enabled for each in found) else []
    if as_json:
        show_json([{**_facts(each, servers), "about": each.about} for each in found])
        return
    show_table(HEAD, map(_row, found))
    if servers:
        click.echo()
        show_table(SERVERS, map(_server, servers))


def _servers(settings: Settings) -> list[Any]:
    """Ask the daemon how the servers of engines do; without one nothing is known."""
    try:
        return list(Control(Path(settings.store.directory)).ask("GET", "/engines"))
    except Failure:
        return []


def _facts(each: Entry, servers: list[Any]) -> dict[str, object]:
    return {
        "name": each.name,
        "cost": each.cost.name,
        "enabled": each.enabled,
        "on_error": each.on_error,
        "options": {option.name: masked(option.name, option.value) for option in each.options},
        "servers": [server for server in servers if server["filter"] == each.name],
    }


def _row(each: Entry) -> tuple[object, ...]:
    told = [(one.name, masked(one.name, one.value)) for one in each.options if one.name not in COMMON]
    options = ", ".join(f"{name} = {toml_value(value)}" for name, value in told)
    return each.name, each.cost.name if each.enabled else "off", each.on_error, each.about, options or None


def _server(one: Any) -> tuple[object, ...]:
    return one["filter"], one["server"], one["standing"], one["failures"], one["busy"], one["error"] or None
