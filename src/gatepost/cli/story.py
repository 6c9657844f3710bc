"""Tells the life of a mail from its trace, for people: a line for each fact, and in the end how it stands, and why."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from gatepost.cli.output import clean, columns, moment

STATES = {"quarantined": "held in quarantine"}  # in more words
SAYING = ("verdict", "rejected")  # events whose text says why
TRIED = ("deferred", "bounced", "expired")  # it is the next hop's last word that says why
ENDED = ("bounced", "expired")
FOLLOWED = {  # events that tell what came of a mail that ended so, in more words
    "reported": "its sender was told",
    "kept": "kept in quarantine, as nothing proves its sender",
    "dropped": "it is a report itself, so nobody is told",
}
PROOFS = ("spf", "helo", "dkim", "dmarc", "arc", "iprev")


def story(life: Any, width: int | None = None) -> Iterator[str]:
    """Yield what tells a mail's life: what it is, its events in lines of that width, and how it stands now."""
    message = life["message"]
    yield f"{message['id']}  {moment(message['received'])}  {message['size']} octets"
    yield f"from <{clean(message['sender'])}> by {clean(message['clientIp'])}, subject: {clean(message['subject'])}"
    yield ""
    told = [*map(lines, life["events"]), *([row] for row in _attempts(life["deliveries"]))]
    told.sort(key=lambda rows: str(rows[0][0]))
    yield from columns(("TIME", "EVENT", "MAILBOX", "WHAT"), chain.from_iterable(told), width)
    yield ""
    what, why = ending(life)
    yield f"{what}: {why}"
    if life.get("others"):
        yield f"The same id names {len(life['others'])} more: {', '.join(life['others'])}"


def lines(event: Any) -> list[tuple[object, ...]]:
    """Return the rows of an event: a fact each, when and whom it concerns with the first alone."""
    first, *others = list(_facts(event)) or [""]
    rows: list[tuple[object, ...]] = [(moment(event["at"]), event["event"], event["mailbox"] or "", first)]
    return rows + [("", "", "", each) for each in others]


def _facts(event: Any) -> Iterator[str]:
    """Yield what an event says: its text, what is proven, what was found, the judge's path, then its other facts."""
    data = dict(event["data"])
    findings, path, kept = data.pop("findings", []), data.pop("path", []), data.pop("keep", [])
    nearest = data.pop("nearest", [])
    if event["text"] and event["text"] not in path:
        yield event["text"]
    if why := data.pop("why", None):
        yield clean(why)
    for name in PROOFS if event["event"] == "examined" else ():
        proofs = data.pop(name, [])
        for each in proofs if isinstance(proofs, list) else [proofs]:
            yield from _proof(name, each)
    yield from map(_found, findings)
    yield from path
    yield from (change["text"] for change in nearest)
    yield from (f"to be kept in {each['folder']} until {moment(each['until'])}" for each in kept)
    times = data.pop("ms", {})  # of each filter
    plain = [f"{key}={value}" for key, value in data.items() if value not in (None, "", [])]
    plain += [f"{name}={took}ms" for name, took in times.items()]
    if plain:
        yield " ".join(plain)


def _proof(name: str, proof: Any) -> Iterator[str]:
    """Yield what one check of the sender says, and below it each step and each answer of DNS that it went by."""
    facts = {key: value for key, value in proof.items() if key not in ("result", "steps", "dns") and value}
    said = ", ".join(
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in facts.items()
    )
    yield f"{name}={proof['result']}" + (f" ({clean(said)})" if said else "")
    yield from (f"  {clean(step)}" for step in proof.get("steps", []))
    yield from (f"  DNS: {clean(answer)}" for answer in proof.get("dns", []))


def _found(finding: Any) -> str:
    """A symbol with its points, the reason, what of the mail it goes by, what it means, and whose rule it is."""
    points = f" {finding['score']:+g}" if "score" in finding else ""
    said = f"{finding['symbol']}{points}: {clean(finding['reason'])}"
    if finding.get("seen") and finding["seen"] not in finding["reason"]:
        said += f" [{clean(finding['seen'])}]"
    if finding.get("description") and finding["description"] not in finding["reason"]:
        said += f": {clean(finding['description'])}"
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
            for why in attempt["skipped"]:
                if why != attempt["reply"]:
                    yield moment(attempt["at"]), "skipped", delivery["recipient"], clean(why)
            what = f"{attempt['hop']} said: {attempt['reply']}" if attempt["code"] else attempt["reply"]
            yield moment(attempt["at"]), "attempt", delivery["recipient"], f"{what} ({attempt['took']} ms)"


def ending(life: Any) -> tuple[str, str]:
    """Return how a mail stands, and in a sentence why: what the next hop said, or was found, else the judge."""
    recipients = life["recipients"]
    states = list(dict.fromkeys(STATES.get(each["status"], each["status"]) for each in recipients))
    found = [clean(each["why"]) for each in recipients if each["status"] in TRIED and each["why"]]
    found += [reason for each in recipients if each["status"] not in TRIED for reason in each["reasons"]]
    said = [event["text"] for event in life["events"] if event["event"] in SAYING and event["text"] and _is_no(event)]
    why = "; ".join(dict.fromkeys([*(found or said), *_followed(life)])) or "nothing stands against it"
    released = any(event["event"] == "released" for event in life["events"])
    return ", ".join(states), f"released, though held at first: {why}" if released else why


def _is_no(event: Any) -> bool:
    """Tell whether an answer or a verdict stands against a mail."""
    return bool(event["data"].get("action") != "deliver")


def _followed(life: Any) -> Iterator[str]:
    """Yield what came of a mail that could not be delivered."""
    ended = [each["recipient"] for each in life["recipients"] if each["status"] in ENDED]
    for event in life["events"]:
        late = event["data"].get("state") == "queued"  # a report of a delay
        if event["mailbox"] in ended and event["event"] in FOLLOWED and event["text"] and not late:
            yield FOLLOWED[event["event"]]
