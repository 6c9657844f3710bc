"""`gatepost policy`: what becomes of each kind of mail of a domain, through the running daemon."""

from functools import partial
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain
from gatepost.cli.members import change, members_argument, show_members
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import one, show_json, show_list

HEAD = ("NAME", "DEFAULT", "INCOMING", "OUTGOING", "QUARANTINE", "RETENTION", "ARCHIVE", "SPAM SCORE", "MB")
HIDDEN = frozenset({"id", "domainId"})

name_option = click.option("--policy", "name", metavar="NAME", help="This policy; else the one that the domain has.")


@click.group()
def command() -> None:
    """List, show and change the policies of a domain."""


@command.command("list")
@click.argument("domain")
@json_option
@with_control
def list_policies(control: Control, domain: str, as_json: bool) -> None:
    """List the policies of DOMAIN."""
    found = find_domain(control, domain)
    policies = control.every(f"/domains/{found['id']}/policies")
    show_list(policies, as_json, HEAD, partial(_row, of_domain=found["policy"]))


@command.command()
@click.argument("domain")
@name_option
@json_option
@with_control
def show(control: Control, domain: str, name: str | None, as_json: bool) -> None:
    """Show every setting of a policy of DOMAIN."""
    policy = _find(control, domain, name)
    if as_json:
        show_json(policy)
    else:
        _tell(policy)


@command.command("set")
@click.argument("domain")
@members_argument
@name_option
@with_control
def change_policy(control: Control, domain: str, given: tuple[str, ...], name: str | None) -> None:
    """Change settings of a policy of DOMAIN, named as `show` prints them; they hold for mail from now on.

    `policy set example.org spamScore=6 relayProps.relaySpam=true relayProps.prefixSpam="[SPAM] "`
    """
    from gatepost.services.domains import DomainUpdate  # takes its time
    from gatepost.services.policies import PolicyPatch

    policy = _find(control, domain, name)
    body = change(PolicyPatch, given, but=HIDDEN, elsewhere={"domain set": DomainUpdate})
    control.ask("PATCH", f"/policies/{policy['id']}", body)
    _tell(control.ask("GET", f"/policies/{policy['id']}"))


def _find(control: Control, domain: str, name: str | None) -> Any:
    """Return the policy of that name, or the domain's; raise Failure."""
    found = find_domain(control, domain)
    if name is None:
        return found["policy"]
    policies = control.every(f"/domains/{found['id']}/policies")
    return one((each for each in policies if each["name"] == name), f"{domain} has no policy {name}")


def _tell(policy: dict[str, Any]) -> None:
    """Print what can be set; the part of a service that is off is left out."""
    show_members({name: value for name, value in policy.items() if name not in HIDDEN and value is not None})


def _row(policy: Any, of_domain: Any) -> tuple[object, ...]:
    services = ("incoming", "outgoing", "quarantine", "retention", "archive")
    states = ("on" if policy[each] else "off" for each in services)
    return (
        policy["name"],
        "yes" if policy["id"] == of_domain["id"] else None,
        *states,
        policy["spamScore"],
        policy["mailSizeLimit"],
    )
