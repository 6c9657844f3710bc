"""`gatepost link`: the hosts that links in mail to a domain may and may not lead to, through the running daemon."""

import os
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, together, with_control
from gatepost.cli.output import show_list
from gatepost.model.address import BadAddress, domain_name
from gatepost.model.rules import UriAction

HEAD = ("HOST", "RULE", "DESCRIPTION")
WORDS = {
    UriAction.BLACKLIST_URI_HOST: "BLOCK",
    UriAction.WHITELIST_URI_HOST: "ALLOW",
    UriAction.URIDNSBL_SKIP_DOMAIN: "SKIP",
}


@click.group()
def command() -> None:
    """List, block, allow, skip and forget hosts that links lead to."""


_adds = together(
    click.argument("domain"),
    click.argument("host"),
    click.option("--description", metavar="TEXT", help="Why, for whoever asks later."),
    json_option,
    with_control,
)


@command.command("list")
@click.argument("domain")
@json_option
@with_control
def list_hosts(control: Control, domain: str, as_json: bool) -> None:
    """List the rules of DOMAIN."""
    show_list(control.every(_path(control, domain), sort="filter"), as_json, HEAD, _row)


@command.command()
@_adds
def block(control: Control, domain: str, as_json: bool, **rule: str | None) -> None:
    """Add 100 points to mail to DOMAIN with a link to HOST, or to a host below it."""
    _add(control, domain, UriAction.BLACKLIST_URI_HOST, as_json, **rule)


@command.command()
@_adds
def allow(control: Control, domain: str, as_json: bool, **rule: str | None) -> None:
    """Take 100 points from mail to DOMAIN with a link to HOST, or to a host below it."""
    _add(control, domain, UriAction.WHITELIST_URI_HOST, as_json, **rule)


@command.command()
@_adds
def skip(control: Control, domain: str, as_json: bool, **rule: str | None) -> None:
    """Ask no DNS list about links to HOST, or to a host below it, in mail to DOMAIN."""
    _add(control, domain, UriAction.URIDNSBL_SKIP_DOMAIN, as_json, **rule)


@command.command()
@click.argument("domain")
@click.argument("host")
@with_control
def forget(control: Control, domain: str, host: str) -> None:
    """Delete the rules of DOMAIN for HOST."""
    kept = _key(host)
    rules = [each for each in control.every(_path(control, domain)) if each["filter"] == kept]
    if not rules:
        raise Failure(f"{domain} has no rule for {host}", os.EX_NOINPUT)
    for rule in rules:
        control.ask("DELETE", f"/filters/uris/{rule['id']}")
        click.echo(f"{rule['filter']}: {WORDS[rule['action']]} of {rule['scope']} deleted")


def _path(control: Control, domain: str) -> str:
    return f"/domains/{find_domain(control, domain)['id']}/filters/uris"


def _add(
    control: Control, domain: str, action: UriAction, as_json: bool, host: str | None, description: str | None
) -> None:
    body = {"action": action, "filter": host, "description": description}
    show_list([control.ask("POST", _path(control, domain), body)], as_json, HEAD, _row)


def _key(host: str) -> str:
    """Return the form in which a host is kept; an address as it is written."""
    try:
        return domain_name(host)
    except BadAddress:
        return host.lower()


def _row(rule: Any) -> tuple[object, ...]:
    return rule["filter"], WORDS[rule["action"]], rule["description"]
