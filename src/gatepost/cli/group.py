"""`gatepost group`: addresses that stand for others, through the running daemon."""

from collections.abc import Sequence
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import one, show_list
from gatepost.cli.user import address_key, locate

HEAD = ("ID", "ADDRESS", "MEMBERS")

members_argument = click.argument("members", metavar="MEMBER...", nargs=-1, required=True)


@click.group()
def command() -> None:
    """List, add and delete groups; let addresses join and leave them."""


@command.command("list")
@click.argument("domain")
@json_option
@with_control
def list_groups(control: Control, domain: str, as_json: bool) -> None:
    """List the groups of DOMAIN with their members."""
    show_list(control.every(f"/domains/{find_domain(control, domain)['id']}/groups"), as_json, HEAD, _row)


@command.command()
@click.argument("address")
@members_argument
@json_option
@with_control
def add(control: Control, address: str, members: Sequence[str], as_json: bool) -> None:
    """Make a group: mail to ADDRESS goes to each MEMBER, an account, another group or an address elsewhere."""
    path = f"/domains/{find_domain(control, address.rpartition('@')[2])['id']}/groups"
    show_list([control.ask("POST", path, {"email": address, "recipients": members})], as_json, HEAD, _row)


@command.command()
@click.argument("address")
@members_argument
@json_option
@with_control
def join(control: Control, address: str, members: Sequence[str], as_json: bool) -> None:
    """Add members to the group ADDRESS."""
    path, _ = _find(control, address)
    show_list([control.ask("POST", f"{path}/addresses", members)], as_json, HEAD, _row)


@command.command()
@click.argument("address")
@members_argument
@with_control
def leave(control: Control, address: str, members: Sequence[str]) -> None:
    """Take members out of the group ADDRESS."""
    path, group = _find(control, address)
    ids = {member["email"]: member["id"] for member in group["recipients"]}
    for member in members:
        found = one(filter(None, [ids.get(address_key(member))]), f"{member} is not in {address}")
        control.ask("DELETE", f"{path}/addresses/{found}")
        click.echo(f"{member}: left {group['email']}")


@command.command()
@click.argument("address")
@with_control
def delete(control: Control, address: str) -> None:
    """Delete the group ADDRESS; its members stay."""
    _, group = _find(control, address)
    control.ask("DELETE", f"/groups/{group['id']}")
    click.echo(f"{group['email']}: deleted")


def _find(control: Control, address: str) -> tuple[str, Any]:
    """Return the path and the group of that address; raise Failure."""
    domain, kept = locate(control, address)
    path = f"/domains/{domain['id']}/groups"
    found = (each for each in control.every(path, email=kept) if each["email"] == kept)
    group = one(found, f"no group {address}")
    return f"{path}/{group['id']}", group


def _row(group: Any) -> tuple[object, ...]:
    return group["id"], group["email"], " ".join(member["email"] for member in group["recipients"])
