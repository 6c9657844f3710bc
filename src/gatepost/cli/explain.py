"""`gatepost explain`: what became of a mail, and why, from its trace."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from gatepost.cli.alone import reading
from gatepost.cli.control import Control, segment
from gatepost.cli.eml import Journey, judged
from gatepost.cli.options import json_option, with_settings
from gatepost.cli.output import columns, room, show_json
from gatepost.cli.story import lines, story
from gatepost.settings import Settings


@click.command()
@click.argument("mail_id", metavar="ID|FILE")
@click.option("--as", "to", metavar="ADDRESS", help="Judge FILE as a mail that comes in now for this recipient.")
@click.option(
    "--sender", metavar="ADDRESS", help="With --as: MAIL FROM, <> for none; else what Return-Path or From say."
)
@click.option("--client-ip", metavar="IP", help="With --as: who brings it; else what the newest Received says.")
@click.option("--helo", metavar="NAME", help="With --as: his name; else what the newest Received says.")
@json_option
@with_settings
def command(
    settings: Settings,
    mail_id: str,
    to: str | None,
    sender: str | None,
    client_ip: str | None,
    helo: str | None,
    as_json: bool,
) -> None:
    """Explain what became of a mail, or what would become of one in a file, and why.

    ID is ours (the 250 and X-Gatepost-Id say it), the Message-ID, or the queue id of the server that took it over. With
    --as it is a file that is judged with everything as it is set; nothing is kept, learned or answered: that asks the
    running daemon, while what became of a mail is told without one, too.
    """
    if to is not None:
        journey = Journey(recipient=to, sender=sender, client_ip=client_ip, helo=helo)
        control = Control(Path(settings.store.directory))
        _show_judged(judged(control, Path(mail_id), journey), as_json)
        return
    if (sender, client_ip, helo) != (None, None, None):
        raise click.UsageError("--sender, --client-ip and --helo go with --as")
    if _is_file(mail_id):
        raise click.UsageError("a file is judged for a recipient: --as ADDRESS")
    with reading(settings) as asked:
        life = asked.ask("GET", f"/messages/{segment(mail_id)}/trace")
    if as_json:
        show_json(life)
        return
    for line in story(life, room()):
        click.echo(line)


def _is_file(text: str) -> bool:
    with suppress(OSError):  # an id may be too long for a file's name
        return Path(text).is_file()
    return False


def _show_judged(events: list[Any], as_json: bool) -> None:
    if as_json:
        show_json(events)
        return
    rows = [row[1:] for event in events for row in lines(event)]
    for line in columns(("EVENT", "MAILBOX", "WHAT"), rows, room()):
        click.echo(line)
