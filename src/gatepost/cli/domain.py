"""`gatepost domain`: the served domains, through the running daemon."""

from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.options import json_option, language_option, split_host, transport_option, with_control
from gatepost.cli.output import one, show_json, show_table
from gatepost.sockets import join_endpoint

HEAD = ("ID", "NAME", "STATUS", "POLICY", "PLATFORM", "USERS")


@click.group()
def command() -> None:
    """List, add and delete served domains."""


@command.command("list")
@click.option("--name", default="*", show_default=True, help="Only names like this; * stands at an end for anything.")
@json_option
@with_control
def list_domains(control: Control, name: str, as_json: bool) -> None:
    """List the domains."""
    domains = list(control.every("/domains", **({} if name == "*" else {"name": name})))
    if as_json:
        show_json(domains)
    else:
        show_table(HEAD, map(_row, domains))


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
    if as_json:
        show_json(domain)
    else:
        show_table(HEAD, [_row(domain)])


@command.command()
@click.argument("name")
@with_control
def delete(control: Control, name: str) -> None:
    """Stop serving the domain NAME; it is purged after the days that [tenancy] gives."""
    domain = find_domain(control, name)
    control.ask("DELETE", f"/domains/{domain['id']}")
    click.echo(f"{domain['name']}: deleted")


def find_domain(control: Control, name: str) -> Any:
    """Return the domain of that name; raise Failure."""
    found = () if "*" in name else control.every("/domains", name=name)  # a pattern would find another
    return one(found, f"no domain {name}")


def _row(domain: Any) -> tuple[object, ...]:
    hops = [join_endpoint(each["transportDest"], each["transportPort"]) for each in domain["platforms"]]
    policy = domain["policy"]["name"] if domain["policy"] else None
    return domain["id"], domain["name"], domain["status"], policy, " ".join(hops), domain["activeUsersCount"]
