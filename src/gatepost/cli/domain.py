"""`gatepost domain`: the served domains, through the running daemon."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.members import change, members_argument, show_members
from gatepost.cli.options import (
    json_option,
    language_option,
    split_host,
    transport_option,
    transports,
    with_control,
    with_settings,
)
from gatepost.cli.output import clean, one, show_item, show_json, show_list
from gatepost.settings import Settings
from gatepost.sockets import join_endpoint

MEMBERS = (
    *("status", "description", "externalId", "defaultLanguage", "incoming", "quarantine", "retention", "archive"),
    *("senderVerifyOn", "wblistPriority", "autoProvisioningOn", "outgoingSubnets"),
)

HEAD = ("ID", "NAME", "STATUS", "POLICY", "PLATFORM", "USERS")
MENDED = {  # what the API answers in the contract's words alone
    "ERROR_MX_MISSING_ENTRY": "Publish: {name} MX 10 {host}.",
    "ERROR_DKIM_MISSING_ENTRY": "Publish what `gatepost dkim show {name}` prints; `gatepost dkim create` makes a key",
}
NAMED = ("domainAliases", "outgoingProviders")

ignore_mx_option = click.option("--ignore-mx", is_flag=True, help="Whatever server the domain's MX records name.")


@click.group()
def command() -> None:
    """List, add, show, check, change and delete served domains; give them further names."""


@command.command("list")
@click.option("--name", default="*", show_default=True, help="Only names like this; * stands at an end for anything.")
@json_option
@with_control
def list_domains(control: Control, name: str, as_json: bool) -> None:
    """List the domains."""
    domains = list(control.every("/domains", **({} if name == "*" else {"name": name})))
    show_list(domains, as_json, HEAD, _row)


@command.command()
@click.argument("name")
@click.option("--next-hop", required=True, metavar="HOST[:PORT]", help="The mail server that gets the domain's mail.")
@transport_option
@language_option
@click.option("--quarantine/--no-quarantine", default=True, show_default=True, help="Keep held mail.")
@click.option("--retention/--no-retention", default=False, show_default=True, help="Keep delivered mail for some days.")
@click.option("--archive/--no-archive", default=False, show_default=True, help="Keep mail for months.")
@click.option("--outgoing/--no-outgoing", default=False, show_default=True, help="Relay what the domain sends.")
@click.option("--provision/--no-provision", default=False, show_default=True, help="Make accounts at their first mail.")
@json_option
@with_control
def add(
    control: Control,
    name: str,
    next_hop: str,
    transport: str,
    language: str,
    provision: bool,
    as_json: bool,
    **on: bool,
) -> None:
    """Serve the domain NAME and hand its mail to a next hop."""
    host, port = split_host(next_hop, 25)
    platform = {"name": host, "transportDest": host, "transportType": transport, "transportPort": port, "default": True}
    body = {
        "name": name,
        "status": "ENABLED",
        "incoming": True,
        **on,
        "defaultLanguage": language,
        "autoProvisioningOn": provision,
        "platforms": [platform],
    }
    domain = control.ask("POST", "/domains", body)
    show_item(domain, as_json, HEAD, _row)


@command.command()
@click.argument("name")
@json_option
@with_control
def show(control: Control, name: str, as_json: bool) -> None:
    """Show what the domain NAME is given; its policy has a command of its own."""
    _tell(find_domain(control, name), as_json)


@command.command()
@click.argument("name")
@json_option
@with_settings
def check(settings: Settings, name: str, as_json: bool) -> int:
    """Look at what NAME has in DNS and speak to its mail servers; exit code 65 when something is wrong.

    What is printed holds the records to publish.
    """
    control = Control(Path(settings.store.directory))
    domain = find_domain(control, name)
    looks = [(domain["name"], f"/domains/{domain['id']}/health")]
    looks += [(hop(each), f"/platforms/{each['id']}/health") for each in domain["platforms"]]
    found = {what: control.ask("POST", path)["report"] for what, path in looks}
    if as_json:
        show_json(found)
    else:
        for what, report in found.items():
            click.secho(f"{what}: {'well' if report['status'] else 'not well'}", bold=True)
            for line in findings(what, report, settings):
                click.echo(line)
    return os.EX_OK if all(report["status"] for report in found.values()) else os.EX_DATAERR


@command.command("set")
@click.argument("name")
@members_argument
@click.option("--next-hop", metavar="HOST[:PORT]", help="The mail server that gets the domain's mail from now on.")
@click.option("--transport", type=transports, help="How it is spoken to, as in `add`; else as the one before.")
@ignore_mx_option
@json_option
@with_control
def change_domain(
    control: Control,
    name: str,
    given: tuple[str, ...],
    next_hop: str | None,
    transport: str | None,
    ignore_mx: bool,
    as_json: bool,
) -> None:
    """Change the domain NAME: members as `show` names them, and its mail server.

    `domain set example.org senderVerifyOn=false outgoingSubnets=192.0.2.0/28,2001:db8::/64`; status=ENABLED takes a
    deletion back.
    """
    from gatepost.services.domains import DomainUpdate  # takes its time
    from gatepost.services.policies import PolicyPatch

    domain = find_domain(control, name)
    body = change(DomainUpdate, given, elsewhere={"policy set": PolicyPatch})
    if next_hop or transport:
        body["platforms"] = [_moved(each, next_hop, transport) for each in domain["platforms"]]
    path = f"/domains/{domain['id']}"
    _mx_minded(control, ignore_mx)("PATCH", path, body=body)
    _tell(control.ask("GET", path), as_json)


@command.command()
@click.argument("name")
@ignore_mx_option
@with_control
def delete(control: Control, name: str, ignore_mx: bool) -> None:
    """Stop serving the domain NAME; it is purged after the days that [tenancy] gives."""
    domain = find_domain(control, name)
    _mx_minded(control, ignore_mx)("DELETE", f"/domains/{domain['id']}")
    click.echo(f"{domain['name']}: deleted; `gatepost domain set {domain['name']} status=ENABLED` takes it back")


@command.command()
@click.argument("name")
@click.argument("aliases", metavar="ALIAS...", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take these names away again.")
@with_control
def alias(control: Control, name: str, aliases: tuple[str, ...], remove: bool) -> None:
    """Let the domain NAME have further names: mail to bob@ALIAS is mail to bob@NAME."""
    domain = find_domain(control, name)
    path = f"/domains/{domain['id']}/aliases"
    if remove:
        for given in aliases:
            control.ask("DELETE", f"{path}/{_find_alias(control, path, given)['id']}")
    else:
        control.ask("POST", path, aliases)
    _tell(control.ask("GET", f"/domains/{domain['id']}"), as_json=False)


def find_domain(control: Control, name: str) -> Any:
    """Return the domain of that name; raise Failure."""
    found = () if "*" in name else control.every("/domains", name=name)  # a pattern would find another
    return one(found, f"no domain {name}")


def _find_alias(control: Control, path: str, name: str) -> Any:
    found = () if "*" in name else control.every(path, name=name)
    return one(found, f"no alias {name}")


def _mx_minded(control: Control, ignore_mx: bool) -> Callable[..., Any]:
    """Return how the daemon is asked: as it is, or with the word that MX records don't matter."""
    return partial(control.confirm, header="X-Ignore-MX") if ignore_mx else control.ask


def _moved(platform: dict[str, Any], next_hop: str | None, transport: str | None) -> dict[str, Any]:
    """Return a platform as it is, the default one with another server; secrets left out stay."""
    if not platform["default"]:
        return platform
    host, port = split_host(next_hop, 25) if next_hop else (platform["transportDest"], platform["transportPort"])
    name = host if platform["name"] == platform["transportDest"] else platform["name"]
    kind = transport or platform["transportType"]
    return {**platform, "name": name, "transportDest": host, "transportPort": port, "transportType": kind}


def _tell(domain: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(domain)
        return
    show_members({name: domain[name] for name in MEMBERS})
    aliases, providers = (", ".join(each["name"] for each in domain[part]) or "none" for part in NAMED)
    click.echo(f"policy: {domain['policy']['name']}; aliases: {aliases}; outgoing providers: {providers}")
    click.echo(f"mail goes to: {' '.join(_hops(domain))}")


def findings(what: str, report: dict[str, Any], settings: Settings) -> Iterator[str]:
    """Yield a line for each thing that a health check found, under its test; with what mends it."""
    for entry in report["entries"]:
        yield f"  {entry['type']}: {entry['result']}"
        yield from (f"    {clean(line)}" for line in entry["output"])
        if entry["result"] in MENDED:
            yield f"    {MENDED[entry['result']].format(name=what, host=_gateway(settings))}"


def _gateway(settings: Settings) -> str:
    from gatepost.services.mx import is_address  # takes its time

    return next((name for name in settings.smtp.gateway_names if not is_address(name)), settings.hostname)


def _hops(domain: dict[str, Any]) -> list[str]:
    return list(map(hop, domain["platforms"]))


def hop(platform: dict[str, Any]) -> str:
    """Return a platform as host:port."""
    return join_endpoint(platform["transportDest"], platform["transportPort"])


def _row(domain: Any) -> tuple[object, ...]:
    policy = domain["policy"]["name"] if domain["policy"] else None
    return domain["id"], domain["name"], domain["status"], policy, " ".join(_hops(domain)), domain["activeUsersCount"]
