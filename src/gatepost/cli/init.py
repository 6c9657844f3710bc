"""`gatepost init`: makes the store, its key and the first administrator, once."""

import os
from pathlib import Path

import click
import msgspec

from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, with_settings
from gatepost.cli.output import show_json
from gatepost.model.problem import Problem
from gatepost.services.records import Name
from gatepost.services.setup import First, init
from gatepost.settings import Settings
from gatepost.store.health import StoreProblem


def _name(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """Return a login that the API would take, too."""
    try:
        return msgspec.convert(text, Name)
    except msgspec.ValidationError as error:
        raise click.BadParameter(f"{text!r}: {error}") from error


@click.command()
@click.option("--login", default="admin", show_default=True, callback=_name, help="The administrator's name.")
@json_option
@with_settings
def command(settings: Settings, login: str, as_json: bool) -> None:
    """Create the store, its key and the first administrator."""
    first = found(settings, login)
    if as_json:
        show_json({"login": first.login, "password": first.password, "token": first.token})
        return
    directory = Path(settings.store.directory)
    click.echo(f"The store is {directory}; keep a copy of {settings.store.key_file or directory / 'master.key'}.")
    click.echo("These are shown this one time:")
    for name in ("login", "password", "token"):
        click.echo(f"  {name:<8}  {getattr(first, name)}")


def found(settings: Settings, login: str = "admin") -> First:
    """Make a new store and its first administrator; raise Failure where there is one already."""
    try:
        return init(settings, login)
    except StoreProblem as problem:
        raise Failure(str(problem), problem.code) from problem
    except Problem as problem:
        raise Failure(f"{settings.store.directory}: {problem.detail}", os.EX_CANTCREAT) from problem
