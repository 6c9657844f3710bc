"""`gatepost suppression`: the addresses that a domain's mail goes to no more."""

from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import moment, one, show_list

HEAD = ("ADDRESS", "CAUSE", "SINCE", "UNTIL", "WHY")


@click.group()
def command() -> None:
    """List, add and delete addresses that a domain sends no mail to."""


@command.command("list")
@click.argument("domain")
@json_option
@with_control
def list_suppressions(control: Control, domain: str, as_json: bool) -> None:
    """List the addresses that mail of DOMAIN does not go to."""
    show_list(control.every(_path(control, domain)), as_json, HEAD, _row)


@command.command()
@click.argument("domain")
@click.argument("address")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever asks later.")
@with_control
def add(control: Control, domain: str, address: str, reason: str) -> None:
    """Let no mail of DOMAIN go to ADDRESS."""
    control.ask("POST", _path(control, domain), {"address": address, "reason": reason})
    click.echo(f"{address}: suppressed")


@command.command()
@click.argument("domain")
@click.argument("address")
@with_control
def delete(control: Control, domain: str, address: str) -> None:
    """Let mail of DOMAIN go to ADDRESS again."""
    path = _path(control, domain)
    listed = (each for each in control.every(path, address=address) if "*" not in address or each["address"] == address)
    found = one(listed, f"{address} is not suppressed")
    control.ask("DELETE", f"{path}/{found['id']}")
    click.echo(f"{address}: no longer suppressed")


def _path(control: Control, domain: str) -> str:
    return f"/domains/{find_domain(control, domain)['id']}/suppressions"


def _row(entry: Any) -> tuple[object, ...]:
    since, until = moment(entry["createdAt"]), moment(entry["expiresAt"])
    return entry["address"], entry["cause"], since, until, entry["reason"]
