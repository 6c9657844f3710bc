"""The life of a mail as people read it."""

from typing import Any

import pytest

from gatepost.cli.story import ending, lines, story

SPF = {
    "result": "softfail",
    "domain": "a.test",
    "steps": ["a.test is asked about 192.0.2.7", "  ~all matches: softfail"],
    "dns": ["a.test TXT: v=spf1 ~all\x1b[2J"],
}


def event(at: int, name: str, text: str = "", mailbox: str | None = None, **data: Any) -> dict[str, Any]:
    return {"at": at, "event": name, "mailbox": mailbox, "text": text, "data": data}


def test_each_fact_has_a_line_and_nothing_drives_the_terminal() -> None:
    finding = {
        "symbol": "SENDER_BLOCKED",
        "category": "BLOCKED",
        "reason": "ours.test blocks a.test",
        "score": 2.5,
        "seen": "ann@a.test",
        "rule": "ByE3n",
        "owner": "ours.test",
        "maker": {"login": "root", "at": 0},
    }
    change = {"action": "deliver", "category": "CLEAN", "text": "without SENDER_BLOCKED it would be delivered as CLEAN"}
    verdict = event(3, "verdict", "held", "bob@ours.test", action="hold", path=["why", "held"], nearest=[change])
    message = {"id": "1", "received": 0, "size": 9, "sender": "ann@a.test", "clientIp": "192.0.2.7", "subject": "Hi"}
    standing = {"recipient": "bob@ours.test", "status": "quarantined", "reasons": ["ours.test blocks a.test"]}
    events = [
        event(1, "examined", proven=False, spf=SPF, dkim=[], dmarc={"result": "none", "domain": "a.test"}),
        event(2, "found", filter="senders", findings=[finding], ms={"senders": 0.1}),
        verdict,
    ]
    told = list(story({"message": message, "events": events, "deliveries": [], "recipients": [standing]}))
    lines = [" ".join(line.split()) for line in told]
    assert any(line.endswith("spf=softfail (domain a.test)") for line in lines)
    assert "~all matches: softfail" in lines
    assert "DNS: a.test TXT: v=spf1 ~all\\x1b[2J" in lines
    assert "dmarc=none (domain a.test)" in lines
    assert any(
        line.endswith(
            "SENDER_BLOCKED +2.5: ours.test blocks a.test [ann@a.test]"
            " (rule ByE3n of ours.test, made by root on 1970-01-01 00:00:00)"
        )
        for line in lines
    )
    assert "without SENDER_BLOCKED it would be delivered as CLEAN" in lines
    assert lines[-1] == "held in quarantine: ours.test blocks a.test"
    assert lines.index("filter=senders senders=0.1ms") < next(n for n, line in enumerate(lines) if "verdict" in line)


@pytest.mark.parametrize("status", ["deferred", "bounced", "expired"])
def test_what_the_next_hop_said_last_is_why_a_mail_did_not_get_there(status: str) -> None:
    tried = {
        "recipient": "kim@far.test",
        "status": status,
        "why": "550 5.1.1 no such\x1b[2J user",
        "reasons": ["an advert"],
    }
    verdict = event(3, "verdict", "to be delivered", "kim@far.test", action="deliver")
    life = {"events": [verdict], "deliveries": [], "recipients": [tried]}
    assert ending(life) == (status, "550 5.1.1 no such\\x1b[2J user")
    there = {"recipient": "ann@far.test", "status": "delivered", "why": "250 Ok", "reasons": []}
    assert ending({**life, "recipients": [there]}) == ("delivered", "nothing stands against it")
    waiting = {"recipient": "ann@far.test", "status": "queued", "why": "it was not tried yet", "reasons": []}
    assert ending({**life, "recipients": [waiting]}) == ("queued", "nothing stands against it")
    held = {"recipient": "bob@ours.test", "status": "quarantined", "why": "spam", "reasons": ["spam"]}
    assert ending({**life, "recipients": [tried, held]})[1] == "550 5.1.1 no such\\x1b[2J user; spam"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (event(4, "reported", "550 no", "kim@far.test", state="bounced", report="01"), "; its sender was told"),
        (
            event(4, "kept", "550 no", "kim@far.test", folder="System"),
            "; kept in quarantine, as nothing proves its sender",
        ),
        (event(4, "dropped", "is not sent", "kim@far.test"), "; it is a report itself, so nobody is told"),
        (event(4, "reported", "450 later", "kim@far.test", state="queued", report="01"), ""),
        (event(4, "kept", "", "kim@far.test", folder="INBOX"), ""),
        (event(4, "reported", "550 no", "ann@far.test", state="bounced", report="01"), ""),
    ],
)
def test_the_end_of_a_mail_that_was_given_up_is_what_came_of_it(after: dict[str, Any], said: str) -> None:
    gone = {"recipient": "kim@far.test", "status": "bounced", "why": "550 no", "reasons": []}
    assert ending({"events": [after], "deliveries": [], "recipients": [gone]}) == ("bounced", f"550 no{said}")


def test_what_the_client_was_not_told_has_a_line_of_its_own() -> None:
    why = "mail.ours.test does not know it\x1b[2J"
    refused = event(1, "rejected", "550 5.1.1 no such mailbox", "no@ours.test", why=why, client="192.0.2.7")
    assert [row[3] for row in lines(refused)] == [
        "550 5.1.1 no such mailbox",
        "mail.ours.test does not know it\\x1b[2J",
        "client=192.0.2.7",
    ]
