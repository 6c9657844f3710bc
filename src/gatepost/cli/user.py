"""`gatepost user`: the mailbox users of a domain, through the running daemon."""

import csv
import io
import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, BinaryIO

import click
import msgspec

from gatepost.cli.control import Control
from gatepost.cli.domain import find_domain, hop
from gatepost.cli.failure import Failure
from gatepost.cli.members import change, members_argument, require_members, show_members
from gatepost.cli.options import json_option, password_option, with_control
from gatepost.cli.output import clean, counted, one, show_item, show_json, show_list
from gatepost.model.address import BadAddress, parse_address

HEAD = ("ID", "ADDRESS", "STATUS", "NAME", "POLICY")
MEMBERS = ("email", "firstname", "lastname", "status", "language", "senderVerifyOn", "mfaType")


@click.group()
def command() -> None:
    """List, show, add, import, change and delete mailbox users."""


@command.command("list")
@click.argument("domain", required=False)
@json_option
@with_control
def list_users(control: Control, domain: str | None, as_json: bool) -> None:
    """List the users of DOMAIN, or all."""
    path = "/users" if domain is None else f"/domains/{find_domain(control, domain)['id']}/users"
    show_list(control.every(path), as_json, HEAD, _row)


@command.command()
@click.argument("address")
@json_option
@with_control
def show(control: Control, address: str, as_json: bool) -> None:
    """Show what the account of ADDRESS is given."""
    user = control.ask("GET", f"/users/{find_user(control, address)['id']}")
    if as_json:
        show_json(user)
        return
    show_members({name: user[name] for name in MEMBERS})
    policy, platform = user["policy"], user["platform"]
    click.echo(f"policy: {policy['name'] if policy else 'none'}; mail goes to: {hop(platform) if platform else 'none'}")


@command.command()
@click.argument("address")
@click.option("--firstname", help="The owner's first name.")
@click.option("--lastname", help="The owner's last name.")
@password_option
@json_option
@with_control
def add(control: Control, address: str, as_json: bool, **facts: str | None) -> None:
    """Make an account for ADDRESS in the domain that it names."""
    show_item(_make(control, {"email": address, **facts}, partial(find_domain, control)), as_json, HEAD, _row)


@command.command("import")
@click.argument("file", type=click.File("rb"))
@with_control
def import_users(control: Control, file: BinaryIO) -> int:
    """Make the accounts in FILE, a CSV file in UTF-8; - reads the standard input.

    Its first line names the columns: email, and such as firstname, lastname, password, language. Accounts that are
    there stay as they are, so that a file may be given again. A line that is damaged as such (too many cells, no number
    where one belongs) keeps all from being made. Exit code 65 when some could not be made.
    """
    from gatepost.services.users import UserAdd  # takes its time

    known = {user["email"] for user in control.every("/users")}  # asked first: the hash of a password takes its time
    domain_of = cache(partial(find_domain, control))
    made = there = bad = 0
    for line, facts in counted(_rows(file, UserAdd)):
        try:
            if address_key(facts["email"]) in known:
                there += 1
                continue
            known.add(_make(control, facts, domain_of)["email"])
            made += 1
        except Failure as failure:
            if failure.code == os.EX_UNAVAILABLE:
                raise
            bad += 1
            click.echo(f"line {line}: {clean(failure)}", err=True)
    click.echo(f"{made} made, {there} there already, {bad} refused")
    return os.EX_DATAERR if bad else os.EX_OK


@command.command("set")
@click.argument("address")
@members_argument
@password_option
@json_option
@with_control
def change_user(control: Control, address: str, given: tuple[str, ...], password: str | None, as_json: bool) -> None:
    """Change the account of ADDRESS: members as `show` names them.

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
        raise Failure(f"{address}: {error}" if address else "there is no address", os.EX_DATAERR) from error


def _make(control: Control, facts: Mapping[str, Any], domain_of: Callable[[str], Any]) -> Any:
    """Make an account in the domain that its address names; what is not given is left to the domain."""
    given = {name: value for name, value in facts.items() if value is not None}
    domain = domain_of(given["email"].rpartition("@")[2])
    return control.ask("POST", "/users", {"status": "ENABLED", "domainId": domain["id"], **given})


def _rows(file: BinaryIO, kind: type[msgspec.Struct]) -> list[tuple[int, dict[str, Any]]]:
    """Return the lines of a CSV file by their numbers, their empty cells left out; raise Failure for what is none."""
    try:
        text = file.read().decode("utf-8-sig")
        mark = ";" if ";" in text.partition("\n")[0] else ","
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        names = rows.fieldnames or ()
        require_members(kind, names)
        if "email" not in names:
            raise Failure("the first line names no column email", os.EX_DATAERR)
        return [(rows.line_num, _facts(row, kind, rows.line_num)) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Failure(f"no CSV file in UTF-8: {error}", os.EX_DATAERR) from error


def _facts(row: Mapping[str, Any], kind: type[msgspec.Struct], line: int) -> dict[str, Any]:
    if None in row:
        raise Failure(f"line {line}: more cells than columns", os.EX_DATAERR)
    try:
        return {"email": "", **change(kind, [f"{name}={cell}" for name, cell in row.items() if cell])}
    except Failure as failure:
        raise Failure(f"line {line}: {failure}", os.EX_DATAERR) from failure


def _row(user: Any) -> tuple[object, ...]:
    name = " ".join(filter(None, (user["firstname"], user["lastname"])))
    return user["id"], user["email"], user["status"], name or None, (user["policy"] or {}).get("name")
