"""`gatepost queue`: mail on its way, through the running daemon."""


import click

HEAD = ("ID", "STATE", "ARRIVED", "NEXT TRY", "TRIES", "SENDER", "RECIPIENT", "LAST REPLY")


@click.group()
def command() -> None:
    """List, hold, release, retry, delete and flush deliveries."""
