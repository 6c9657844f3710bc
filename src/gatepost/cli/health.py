"""`gatepost health`: asks the running daemon whether it is ready; for container health checks."""

import click

from gatepost.cli.control import Control
from gatepost.cli.options import with_control


@click.command()
@with_control
def command(control: Control) -> None:
    """Ask the running daemon whether it is ready; exit code 0 when it is."""
    control.ask("GET", "/readyz")
    click.echo("ready")
