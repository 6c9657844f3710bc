"""`gatepost health`: asks the running daemon whether it is ready; for container health checks."""

import click

from gatepost.cli.control import Control
from gatepost.cli.options import with_control

PATIENCE = 4.0  # seconds; whoever watches containers grants five


@click.command()
@with_control
def command(control: Control) -> None:
    """Ask the running daemon whether it is ready; exit code 0 when it is, and answers within four seconds."""
    control.wait("GET", "/readyz", seconds=PATIENCE)
    click.echo("ready")
