"""The life of a mail as people read it."""

from typing import Any

from gatepost.cli.story import story

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
