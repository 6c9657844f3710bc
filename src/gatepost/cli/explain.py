"""`gatepost explain`: what became of a mail, and why, from its trace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from gatepost.cli.control import Control
from gatepost.cli.eml import Journey, judged
from gatepost.cli.options import json_option, with_control
from gatepost.cli.output import clean, columns, moment, show_json

OUTCOMES = {"reject": "refused", "defer": "deferred"}
POINTS_TOLD = 5  # symbols by which a mail became spam


@click.command()
@click.argument("mail_id", metavar="ID|FILE")
@click.option("--as", "to", metavar="ADDRESS", help="Judge FILE as a mail that comes in now for this recipient.")
@click.option("--sender", metavar="ADDRESS", help="With --as: MAIL FROM; else what Return-Path or From say.")
@click.option("--client-ip", metavar="IP", help="With --as: who brings it; else what the newest Received says.")
@click.option("--helo", metavar="NAME", help="With --as: his name; else what the newest Received says.")
@json_option
@with_control
def command(
    control: Control,
    mail_id: str,
    to: str | None,
    sender: str | None,
    client_ip: str | None,
    helo: str | None,
    as_json: bool,
) -> None:
    """Tell what became of a mail, or what would become of a file, and why.

    ID is ours (the 250 and X-Gatepost-Id say it), the Message-ID, or the queue id of the server that took it over. With
    --as it is a file that is judged with everything as it is set; nothing is kept, learned or answered.
    """
    if to is not None:
        journey = Journey(recipient=to, sender=sender, client_ip=client_ip, helo=helo)
        _show_judged(judged(control, Path(mail_id), journey), as_json)
        return
    if (sender, client_ip, helo) != (None, None, None):
        raise click.UsageError("--sender, --client-ip and --helo go with --as")
    life = control.ask("GET", f"/messages/{quote(mail_id, safe='')}/trace")
    if as_json:
        show_json(life)
        return
    for line in story(life):
        click.echo(line)


def _show_judged(events: list[Any], as_json: bool) -> None:
    if as_json:
        show_json(events)
        return
    for line in columns(("EVENT", "MAILBOX", "WHAT"), [_event(each)[1:] for each in events]):
        click.echo(line)


def story(life: Any) -> Iterator[str]:
    """Yield the lines that tell a mail's life: what it is, its events, and how it stands now."""
    message = life["message"]
    yield f"{message['id']}  {moment(message['received'])}  {message['size']} octets"
    yield f"from <{clean(message['sender'])}> by {clean(message['clientIp'])}, subject: {clean(message['subject'])}"
    yield ""
    rows = [*map(_event, life["events"]), *_attempts(life["deliveries"])]
    yield from columns(("TIME", "EVENT", "MAILBOX", "WHAT"), sorted(rows, key=lambda row: str(row[0])))
    yield ""
    what, why = ending(life)
    yield f"{what}: {why}"
    if life.get("others"):
        yield f"The same id names {len(life['others'])} more: {', '.join(life['others'])}"


def _event(event: Any) -> tuple[object, ...]:
    return moment(event["at"]), event["event"], event["mailbox"] or "", "; ".join(_facts(event))


def _facts(event: Any) -> Iterator[str]:
    """Yield what an event says: its text, what was found, the judge's path, then its other facts."""
    data = dict(event["data"])
    findings, path, kept = data.pop("findings", []), data.pop("path", []), data.pop("keep", [])
    nearest = data.pop("nearest", [])
    if event["text"] and event["text"] not in path:
        yield event["text"]
    yield from map(_found, findings)
    yield from path
    yield from (change["text"] for change in nearest)
    yield from (f"to be kept in {each['folder']} until {moment(each['until'])}" for each in kept)
    times = data.pop("ms", {})  # of each filter
    plain = [f"{key}={value}" for key, value in data.items() if value not in (None, "", [])]
    plain += [f"{name}={took}ms" for name, took in times.items()]
    if plain:
        yield " ".join(plain)


def _found(finding: Any) -> str:
    """A symbol with its points, the reason, what of the mail it goes by, and whose rule it is."""
    points = f" {finding['score']:+g}" if "score" in finding else ""
    said = f"{finding['symbol']}{points}: {clean(finding['reason'])}"
    if finding.get("seen") and finding["seen"] not in finding["reason"]:
        said += f" [{clean(finding['seen'])}]"
    if "rule" in finding:
        said += f" (rule {finding['rule']}"
        said += f" of {clean(finding['owner'])}" if "owner" in finding else ""
        maker = finding.get("maker")
        said += f", made by {clean(maker['login'])} on {moment(maker['at'])})" if maker else ")"
    return said


def _attempts(deliveries: Any) -> Iterator[tuple[object, ...]]:
    """Yield a row for each try to deliver, with the next hop's own words."""
    for delivery in deliveries:
        for attempt in delivery["log"]:
            what = f"{attempt['hop']} said: {attempt['reply']}" if attempt["code"] else attempt["reply"]
            yield moment(attempt["at"]), "attempt", delivery["recipient"], f"{what} ({attempt['took']} ms)"


def ending(life: Any) -> tuple[str, str]:
    """Return how a mail stands, and in a sentence why: what was found, else what the judge said."""
    verdicts = [event for event in life["events"] if event["event"] == "verdict"]
    found = _grounds(life, spam=any(event["data"].get("category") == "SPAM" for event in verdicts))
    states = list(dict.fromkeys(_standing(life, verdicts))) or ["refused"]
    said = [event["text"] for event in verdicts if event["text"] not in states]
    why = "; ".join(dict.fromkeys(found or said)) or "nothing stands against it"
    released = any(event["event"] == "released" for event in life["events"])
    return ", ".join(states), f"released, though held at first: {why}" if released else why


def _grounds(life: Any, *, spam: bool) -> list[str]:
    """Return what was found; points alone are no grounds unless they made it spam, and then the most are told."""
    findings = [finding for event in life["events"] for finding in event["data"].get("findings", [])]
    grounds = [each["reason"] for each in findings if each["category"] != "SCORE"]
    points = sorted((each for each in findings if each["category"] == "SCORE"), key=lambda each: -each.get("score", 0))
    return grounds + [each["reason"] for each in points[:POINTS_TOLD]] if spam else grounds


def _standing(life: Any, verdicts: list[Any]) -> Iterator[str]:
    """Yield each state that some recipient's mail is in."""
    delivered = [delivery["state"] for delivery in life["deliveries"]]
    yield from delivered
    if not delivered:
        yield from (f"held in {copy['folder'].lower()}" for copy in life["copies"])
    if not delivered and not life["copies"]:
        yield from (OUTCOMES.get(event["data"]["action"], event["data"]["action"]) for event in verdicts)
