"""`gatepost explain`: what became of a mail, and why, from its trace."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from gatepost.cli.control import Control
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import clean, columns, moment, show_json


@click.command()
@click.argument("mail_id", metavar="ID")
@json_option
@with_control
def command(control: Control, mail_id: str, as_json: bool) -> None:
    """Tell what became of a mail, and why.

    ID is ours (the 250 and X-Gatepost-Id say it), the Message-ID, or the queue id of the server that took it over.
    """
    life = control.ask("GET", f"/messages/{quote(mail_id, safe='')}/trace")
    if as_json:
        show_json(life)
        return
    for line in story(life):
        click.echo(line)


def story(life: Any) -> Iterator[str]:
    """Yield the lines that tell a mail's life: what it is, its events, and how it stands now."""
    message = life["message"]
    yield f"{message['id']}  {moment(message['received'])}  {message['size']} octets"
    yield f"from <{clean(message['sender'])}> by {clean(message['clientIp'])}, subject: {clean(message['subject'])}"
    yield ""
    yield from columns(("TIME", "EVENT", "MAILBOX", "WHAT"), map(_event, life["events"]))
    yield ""
    what, why = ending(life)
    yield f"{what}: {why}"
    if life.get("others"):
        yield f"The same id names {len(life['others'])} more: {', '.join(life['others'])}"


def _event(event: Any) -> tuple[object, ...]:
    facts = [f"{key}={value}" for key, value in event.get("data", {}).items() if value not in (None, "", [])]
    return moment(event["at"]), event["event"], event.get("mailbox") or "", " ".join([event.get("text", ""), *facts])


def ending(life: Any) -> tuple[str, str]:
    """Return how a mail stands, and the sentence that says why."""
    verdicts = [event for event in life["events"] if event["event"] == "verdict"]
    why = "; ".join(dict.fromkeys(event.get("text", "") for event in verdicts))
    states = [delivery["state"] for delivery in life["deliveries"]]
    folders = [copy["folder"] for copy in life["copies"]]
    if states:
        return ", ".join(dict.fromkeys(states)), why
    if folders:
        return f"held in {', '.join(dict.fromkeys(folders))}", why
    return ", ".join(dict.fromkeys(event["data"]["action"] for event in verdicts)) or "refused", why
