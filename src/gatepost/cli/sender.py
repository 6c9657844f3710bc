"""`gatepost sender`: whom a domain or a mailbox allows, blocks or protects, through the running daemon."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, together, with_control
from gatepost.cli.output import moment, show_list
from gatepost.cli.user import find_user
from gatepost.model.rules import SenderType

HEAD = ("SENDER", "RULE", "IF PROVEN", "MADE", "UNTIL", "DESCRIPTION")


@click.group()
def command() -> None:
    """List, allow, block, protect and forget senders, for a domain or a mailbox."""


_adds = together(
    click.argument("owner"),
    click.argument("sender"),
    click.option("--days", type=click.IntRange(1, 36500), help="Days until it ends; without, it does not."),
    click.option("--description", metavar="TEXT", help="Why, for whoever asks later."),
    json_option,
    with_control,
)


@command.command("list")
@click.argument("owner")
@json_option
@with_control
def list_senders(control: Control, owner: str, as_json: bool) -> None:
    """List the rules of OWNER, a domain or the address of an account."""
    show_list(control.every(_path(control, owner)), as_json, HEAD, _row)


@command.command()
@click.option("--unproven", is_flag=True, help="Also mail of which SPF and DKIM do not prove that it is the sender's.")
@_adds
def allow(control: Control, owner: str, sender: str, as_json: bool, unproven: bool, **given: Any) -> None:
    """Let mail of SENDER, an address or a domain, pass to OWNER, whatever its score; not viruses or forbidden files."""
    _add(control, owner, as_json, value=sender, type=SenderType.ALLOW, spfOn=not unproven, **given)


@command.command()
@_adds
def block(control: Control, owner: str, sender: str, as_json: bool, **given: Any) -> None:
    """Block mail of SENDER, an address or a domain, to OWNER."""
    _add(control, owner, as_json, value=sender, type=SenderType.BLOCK, **given)


@command.command()
@_adds
def protect(control: Control, owner: str, sender: str, as_json: bool, **given: Any) -> None:
    """Block mail to OWNER that claims to be of SENDER, an address or a domain, and is not proven to be."""
    _add(control, owner, as_json, value=sender, type=SenderType.PROTECTED, **given)


@command.command()
@click.argument("owner")
@click.argument("sender")
@with_control
def forget(control: Control, owner: str, sender: str) -> None:
    """Delete the rules of OWNER for SENDER."""
    path = _path(control, owner)
    rules = [] if "*" in sender else list(control.every(path, value=sender))  # a pattern would find others
    if not rules:
        raise Failure(f"{owner} has no rule for {sender}", os.EX_NOINPUT)
    for rule in rules:
        control.ask("DELETE", f"{path}/{rule['id']}")
        click.echo(f"{rule['value']}: {rule['type']} of {rule['owner']} deleted")


def _path(control: Control, owner: str) -> str:
    if "@" in owner:
        return f"/users/{find_user(control, owner)['id']}/wblist"
    return f"/domains/{find_domain(control, owner)['id']}/wblist"


def _add(control: Control, owner: str, as_json: bool, days: int | None, **rule: Any) -> None:
    if days is not None:
        rule["expireAt"] = int((datetime.now(UTC) + timedelta(days=days)).timestamp() * 1000)
    show_list(control.ask("POST", _path(control, owner), [rule]), as_json, HEAD, _row)


def _row(rule: Any) -> tuple[object, ...]:
    proven = {True: "yes", False: "no"}.get(rule["spfOn"])
    made, until = moment(rule["createdDate"]), moment(rule["expireAt"])
    return rule["value"], rule["type"], proven, made, until, rule["description"]
