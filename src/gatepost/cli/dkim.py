"""`gatepost dkim`: the keys that sign a domain's mail, through the running daemon."""

import os
from typing import Any, TextIO

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import clean, show_json

selector_option = click.option("--selector", help="What the key is called in DNS; else [dkim] selector, numbered.")
algorithm_option = click.option("--algorithm", type=click.Choice(["rsa", "ed25519"]), help="rsa unless said otherwise.")
key_option = click.option(
    "--private-key", "key", type=click.File(), help="Install the private key of this PEM file; - is the standard input."
)


@click.group()
def command() -> None:
    """Show, create, replace and delete the keys that sign a domain's mail."""


@command.command()
@click.argument("domain")
@json_option
@with_control
def show(control: Control, domain: str, as_json: bool) -> None:
    """Show the records that DNS must hold for DOMAIN."""
    _print(control.ask("GET", _path(control, domain)), as_json)


@command.command()
@click.argument("domain")
@selector_option
@algorithm_option
@key_option
@json_option
@with_control
def create(control: Control, domain: str, as_json: bool, **given: Any) -> None:
    """Make a key for DOMAIN, or install one; print the records to publish."""
    _print(control.ask("POST", _path(control, domain), _body(**given)), as_json)


@command.command()
@click.argument("domain")
@selector_option
@algorithm_option
@key_option
@json_option
@with_control
def replace(control: Control, domain: str, as_json: bool, **given: Any) -> None:
    """Replace the key of DOMAIN; the old one signs until the new record is seen in DNS."""
    _print(control.ask("PUT", _path(control, domain), _body(**given)), as_json)


@command.command()
@click.argument("domain")
@with_control
def delete(control: Control, domain: str) -> None:
    """Delete the keys of DOMAIN; its mail is signed no more."""
    control.ask("DELETE", _path(control, domain))
    click.echo(f"{domain}: no DKIM key")


def _path(control: Control, domain: str) -> str:
    return f"/domains/{find_domain(control, domain)['id']}/dkim"


def _body(selector: str | None, algorithm: str | None, key: TextIO | None) -> dict[str, str]:
    given = {"selector": selector, "algorithm": algorithm, "privateKey": _text(key) if key else None}
    return {name: value for name, value in given.items() if value}


def _text(file: TextIO) -> str:
    try:
        text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file.name}: {error}", os.EX_NOINPUT) from error
    if not text.strip():
        raise Failure(f"{file.name}: empty", os.EX_DATAERR)
    return text


def _print(lines: list[str], as_json: bool) -> None:
    if as_json:
        show_json(lines)
        return
    for line in lines:
        click.echo(clean(line))
