"""`gatepost user`: the mailbox users of a domain, through the running daemon."""

import os
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.failure import Failure
from gatepost.cli.members import change, members_argument
from gatepost.cli.options import json_option, password_option, with_control
from gatepost.cli.output import one, show_item, show_list
from gatepost.model.address import BadAddress, parse_address

HEAD = ("ID", "ADDRESS", "STATUS", "NAME", "POLICY")


@click.group()
def command() -> None:
    """List, add, change and delete mailbox users."""


@command.command("list")
@click.argument("domain")
@json_option
@with_control
def list_users(control: Control, domain: str, as_json: bool) -> None:
    """List the users of DOMAIN."""
    users = list(control.every(f"/domains/{find_domain(control, domain)['id']}/users"))
    show_list(users, as_json, HEAD, _row)


@command.command()
@click.argument("address")
@click.option("--firstname", help="The owner's first name.")
@click.option("--lastname", help="The owner's last name.")
@password_option
@json_option
@with_control
def add(control: Control, address: str, as_json: bool, **facts: str | None) -> None:
    """Make an account for ADDRESS in the domain that it names."""
    domain = find_domain(control, address.rpartition("@")[2])
    given = {name: value for name, value in facts.items() if value is not None}
    user = control.ask("POST", "/users", {"email": address, "status": "ENABLED", "domainId": domain["id"], **given})
    show_item(user, as_json, HEAD, _row)


@command.command("set")
@click.argument("address")
@members_argument
@password_option
@json_option
@with_control
def change_user(control: Control, address: str, given: tuple[str, ...], password: str | None, as_json: bool) -> None:
    """Change the account of ADDRESS.

    `user set alice@example.org status=DISABLED`; mfaType=NONE takes the second factor away.
    """
    from gatepost.services.users import UserUpdate  # takes its time

    user = find_user(control, address)
    body = change(UserUpdate, given, but=frozenset({"password"}))  # the list of processes is read by all
    path = f"/users/{user['id']}"
    control.ask("PATCH", path, body if password is None else {**body, "password": password})
    show_item(control.ask("GET", path), as_json, HEAD, _row)


@command.command()
@click.argument("address")
@with_control
def delete(control: Control, address: str) -> None:
    """Delete the account of ADDRESS."""
    user = find_user(control, address)
    control.ask("DELETE", f"/users/{user['id']}")
    click.echo(f"{user['email']}: deleted")


def find_user(control: Control, address: str) -> Any:
    """Return the account of that address; raise Failure."""
    domain, kept = locate(control, address)
    found = control.every(f"/domains/{domain['id']}/users", email=kept)
    return one((each for each in found if each["email"] == kept), f"no user {address}")


def locate(control: Control, address: str) -> tuple[Any, str]:
    """Return the domain of an address here, and the form in which the address is kept; raise Failure."""
    domain = find_domain(control, address.rpartition("@")[2])
    return domain, f"{address_key(address).rpartition('@')[0]}@{domain['name']}"


def address_key(address: str) -> str:
    """Return the form in which an address is kept; raise Failure."""
    try:
        return parse_address(address).key
    except BadAddress as error:
        raise Failure(f"{address}: {error}", os.EX_DATAERR) from error


def _row(user: Any) -> tuple[object, ...]:
    name = " ".join(filter(None, (user["firstname"], user["lastname"])))
    return user["id"], user["email"], user["status"], name or None, (user["policy"] or {}).get("name")
