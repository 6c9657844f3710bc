"""`gatepost version`: which Gatepost, on which Python."""

import importlib.metadata
import platform

import click

from gatepost.cli.options import json_option
from gatepost.cli.output import show_json


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Print the version."""
    facts = {"gatepost": importlib.metadata.version("gatepost"), "python": platform.python_version()}
    if as_json:
        show_json(facts)
    else:
        click.echo(f"gatepost {facts['gatepost']} (Python {facts['python']})")
