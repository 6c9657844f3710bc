"""`gatepost admin`: the administrators and what they may do where, through the running daemon."""

import os
from collections.abc import Callable
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, language_option, password_option, with_control
from gatepost.cli.output import one, show_item, show_list

HEAD = ("ID", "LOGIN", "NAME", "ENABLED", "HOLDS")
NAMED = 3  # permissions that are named one by one


@click.group()
def command() -> None:
    """List and add administrators; grant and revoke their access."""


def node_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command name a node of the tree; without one it is the platform."""
    for kind in ("broker", "customer", "domain"):
        run = click.option(f"--{kind}", metavar="NAME", help=f"On this {kind}; else on the whole platform.")(run)
    return run


@command.command("list")
@node_options
@json_option
@with_control
def list_admins(control: Control, as_json: bool, **node: str | None) -> None:
    """List all administrators, or those given access to one node."""
    path = f"{_node(control, node)}/admins" if any(node.values()) else "/security/admins"
    admins = list(control.every(path))
    show_list(admins, as_json, HEAD, _row)


@command.command()
@click.argument("login")
@click.argument("names", metavar="ROLE...", nargs=-1, required=True)
@click.option("--email", required=True, help="Where a forgotten password is asked for.")
@click.option("--name", "display_name", help="The shown name; else the login.")
@language_option
@password_option
@node_options
@json_option
@with_control
def add(
    control: Control,
    login: str,
    names: tuple[str, ...],
    email: str,
    display_name: str | None,
    language: str,
    password: str | None,
    as_json: bool,
    **node: str | None,
) -> None:
    """Make an administrator LOGIN with roles or permissions on a node."""
    if password is None:
        raise Failure("an administrator needs a password; give it with --password-stdin", os.EX_USAGE)
    body = {
        "login": login,
        "displayName": display_name or login,
        "email": email,
        "password": password,
        "enabled": True,
        "language": language,
        "permissions": names,
    }
    admin = control.ask("POST", f"{_node(control, node)}/admins", body)
    show_item(admin, as_json, HEAD, _row)


@command.command()
@click.argument("login")
@click.argument("names", metavar="ROLE...", nargs=-1, required=True)
@node_options
@with_control
def grant(control: Control, login: str, names: tuple[str, ...], **node: str | None) -> None:
    """Let LOGIN hold roles or permissions on a node, in place of what he held there."""
    path, admin = f"{_node(control, node)}/admins", find_admin(control, login)
    if any(each["id"] == admin["id"] for each in control.every(path, search=login)):
        control.ask("PUT", f"{path}/{admin['id']}/authorities", names)
    else:
        control.ask("POST", path, {"id": admin["id"], "permissions": names})
    click.echo(f"{admin['login']}: holds {', '.join(names)}")


@command.command()
@click.argument("login")
@node_options
@with_control
def revoke(control: Control, login: str, **node: str | None) -> None:
    """Take the access of LOGIN to a node back; an account without any is deleted."""
    admin = find_admin(control, login)
    control.ask("DELETE", f"{_node(control, node)}/admins/{admin['id']}")
    click.echo(f"{admin['login']}: revoked")


@command.command()
@click.argument("login")
@with_control
def delete(control: Control, login: str) -> None:
    """Delete the account LOGIN with all that it holds."""
    admin = find_admin(control, login)
    control.ask("DELETE", f"/security/admins/{admin['id']}")
    click.echo(f"{admin['login']}: deleted")


def find_admin(control: Control, login: str) -> Any:
    """Return the administrator of that login, in any case; raise Failure."""
    found = control.every("/security/admins", search=login)
    return one((admin for admin in found if admin["login"].lower() == login.lower()), f"no administrator {login}")


def _node(control: Control, node: dict[str, str | None]) -> str:
    """Return the path of a node; raise Failure for an unknown one or for several."""
    named = {kind: name for kind, name in node.items() if name}
    if len(named) > 1:
        raise Failure("name one node: --broker, --customer or --domain", os.EX_USAGE)
    for kind, name in named.items():
        if kind == "domain":
            return f"/domains/{find_domain(control, name)['id']}"
        found = (each for each in control.every(f"/{kind}s", name=name) if each["name"].lower() == name.lower())
        return f"/{kind}s/{one(found, f'no {kind} {name}')['id']}"
    return "/platform"


def _row(admin: Any) -> tuple[object, ...]:
    held = [f"{_names(each)} on {each['objectName'] or 'the platform'}" for each in admin["authorities"]]
    return admin["id"], admin["login"], admin["displayName"], "yes" if admin["enabled"] else "no", "; ".join(held)


def _names(authority: Any) -> str:
    held = authority["permissions"]
    return ", ".join(authority["roles"] or (held if len(held) <= NAMED else [f"{len(held)} permissions"]))
