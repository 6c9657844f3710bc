"""`gatepost key`: the master key, replaced while the service is stopped."""

import os
from pathlib import Path

import click

from gatepost.cli.failure import Failure
from gatepost.cli.options import with_settings
from gatepost.events import Metrics
from gatepost.settings import Settings
from gatepost.store.health import Health, StoreProblem
from gatepost.store.opening import DATABASE, open_directory
from gatepost.store.renewal import old_keys, renew_key
from gatepost.store.secrets import fingerprint, read_keys


@click.group()
def command() -> None:
    """Replace the master key, which seals the secrets of the store."""


@command.command()
@with_settings
def renew(settings: Settings) -> None:
    """Make a new master key and seal every secret with it.

    The service must be stopped. Broken off at any point, the command goes on when it is run again, and the service
    starts. Sessions end; the old key is kept beside the new one for backups made before.
    """
    directory = Path(settings.store.directory)
    if not (directory / DATABASE).exists():
        raise Failure(f"{directory}: there is no store", os.EX_NOINPUT)
    done = 0
    try:
        opened = open_directory(directory, settings.store, Health(Metrics()))
        try:
            for count in renew_key(opened):
                done = count
        finally:
            opened.close()
    except StoreProblem as problem:
        raise Failure(str(problem), problem.code) from problem
    (key,) = read_keys(opened.key)
    click.echo(f"{done} secrets are sealed with the new key {fingerprint(key)} in {opened.key}.")
    click.echo(f"The old one is in {old_keys(opened.key.resolve())}: backups made before need it.")
