"""`gatepost token`: the tokens of an administrator, through the running daemon."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from gatepost.cli.admin import find_admin
from gatepost.cli.control import Control, segment
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import moment, show_json, show_list

HEAD = ("ID", "NAME", "MADE", "EXPIRES", "LAST USE")

admin_option = click.option("--admin", "login", default="admin", show_default=True, help="The administrator's login.")


@click.group()
def command() -> None:
    """List, add and revoke tokens of an administrator."""


@command.command("list")
@admin_option
@json_option
@with_control
def list_tokens(control: Control, login: str, as_json: bool) -> None:
    """List the tokens; their values can't be read back."""
    tokens = control.ask("GET", _tokens(control, login))
    show_list(tokens, as_json, HEAD, _row)


@command.command()
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 36500), help="Days until it expires; without, it does not.")
@admin_option
@json_option
@with_control
def add(control: Control, name: str, days: int | None, login: str, as_json: bool) -> None:
    """Make a token called NAME; its value is shown this one time."""
    body: dict[str, Any] = {"name": name}
    if days is not None:
        body["expiration"] = int((datetime.now(UTC) + timedelta(days=days)).timestamp() * 1000)
    token = control.ask("POST", _tokens(control, login), body)
    if as_json:
        show_json(token)
    else:
        click.echo(token["value"])


@command.command()
@click.argument("token_id", metavar="ID")
@admin_option
@with_control
def delete(control: Control, token_id: str, login: str) -> None:
    """Revoke the token ID."""
    control.ask("DELETE", f"{_tokens(control, login)}/{segment(token_id)}")
    click.echo(f"{token_id}: revoked")


def _tokens(control: Control, login: str) -> str:
    """Return the path of an administrator's tokens; raise Failure."""
    return f"/admins/{find_admin(control, login)['id']}/tokens"


def _row(token: Any) -> tuple[object, ...]:
    times = (moment(token.get(name)) for name in ("createdAt", "expiration", "lastUse"))
    return token["id"], token["name"], *times
