"""`gatepost attachment`: which files a domain forbids and lets through, through the running daemon."""

from collections.abc import Sequence
from typing import Any

import click

from gatepost.cli.control import Control, segment
from gatepost.cli.domain import find_domain
from gatepost.cli.options import json_option, together, with_control
from gatepost.cli.output import one_by_one, show_list
from gatepost.model.rules import AttachmentAction, CheckType

HEAD = ("ID", "ORDER", "RULE", "OF", "PATTERN", "DESCRIPTION")
OF = click.Choice([each.value.lower().replace("_", "-") for each in CheckType], case_sensitive=False)
NAMES = ("filename", "archive-filename")


@click.group()
def command() -> None:
    """List, deny, allow and delete: the rules of a domain for attachments."""


_adds = together(
    click.argument("domain"),
    click.argument("pattern"),
    click.option(
        "--of",
        type=OF,
        multiple=True,
        default=NAMES,
        show_default=True,
        help="What it is held against; may be given several times, for a rule each.",
    ),
    click.option("--description", metavar="TEXT", help="What the reason calls it, where it decides."),
    json_option,
    with_control,
)


@command.command("list")
@click.argument("domain")
@json_option
@with_control
def list_rules(control: Control, domain: str, as_json: bool) -> None:
    """List the rules of DOMAIN in the order in which they are tried: the first that matches decides."""
    show_list(control.every(_path(control, domain), sort="priority"), as_json, HEAD, _row)


@command.command()
@_adds
def deny(control: Control, domain: str, as_json: bool, **given: Any) -> None:
    r"""Hold mail to DOMAIN with an attachment that PATTERN, an expression of RE2 in any case, is found in.

    `attachment deny example.org '\.(exe|scr|js|vbs|lnk)$'`
    """
    _add(control, domain, AttachmentAction.DENY, as_json, **given)


@command.command()
@_adds
def allow(control: Control, domain: str, as_json: bool, **given: Any) -> None:
    """Let attachments pass that PATTERN is found in; such a rule stands before those that deny, so it is made first."""
    _add(control, domain, AttachmentAction.ALLOW, as_json, **given)


@command.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@with_control
def delete(control: Control, ids: Sequence[str]) -> None:
    """Delete rules."""
    one_by_one(ids, lambda each: control.ask("DELETE", f"/filters/attachments/{segment(each)}"), "deleted")


def _path(control: Control, domain: str) -> str:
    return f"/domains/{find_domain(control, domain)['id']}/filters/attachments"


def _add(
    control: Control,
    domain: str,
    action: AttachmentAction,
    as_json: bool,
    pattern: str,
    of: Sequence[str],
    description: str | None,
) -> None:
    path = _path(control, domain)
    bodies = ({"action": action, "checkType": each, "filter": pattern, "description": description} for each in of)
    show_list([control.ask("POST", path, body) for body in bodies], as_json, HEAD, _row)


def _row(rule: Any) -> tuple[object, ...]:
    of = rule["checkType"].lower().replace("_", "-")
    return rule["id"], rule["priority"], rule["action"], of, rule["filter"], rule["description"]
