"""`gatepost backup`: a consistent copy of the store, made by the running daemon."""

import os
from pathlib import Path

import click

from gatepost.cli.control import Control
from gatepost.cli.failure import Failure
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import show_json


@click.command()
@click.argument("target", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--with-key", is_flag=True, help="Copy the master key, too: who has such a copy reads every secret.")
@json_option
@with_control
def command(control: Control, target: Path, with_key: bool, as_json: bool) -> None:
    """Back up the store while the daemon runs, into DEST: a new directory that the daemon may make.

    The copy is of one moment, synced, and bears its name only when it is whole.
    """
    target = target.absolute()
    made = control.wait("POST", "/backups", {"directory": str(target), "withKey": with_key})
    if not target.exists():
        raise Failure(f"{target}: the daemon sees another directory under this name (PrivateTmp)", os.EX_CANTCREAT)
    if as_json:
        show_json(made)
    else:
        click.echo(f"{target}: {made['octets']} octets, {made['bodies']} files of large bodies among them")
