"""How a mail stands for each recipient, told from its events alone."""

from gatepost.model.stored import TraceEvent
from gatepost.services.status import Status, standings

BOB = "bob@served.example"
ALLOWED = {"category": "ALLOWED", "reason": "served.example allows world.example"}
FORGED = {"category": "SENDER_VERIFY", "reason": "world.example does not exist"}


def event(name: str, mailbox: str | None = BOB, text: str = "", **data: object) -> TraceEvent:
    return TraceEvent(at=1, event=name, mailbox=mailbox, text=text, data=data)


def test_that_a_sender_is_allowed_is_no_reason_for_a_refusal() -> None:
    found = event("found", findings=[ALLOWED, FORGED])
    verdict = event("verdict", action="reject", category="SENDER_VERIFY")
    (bob,) = standings([found, verdict, event("rejected", None)], [], [])
    assert (bob.status, bob.why) == (Status.REFUSED, "world.example does not exist")


def test_it_is_one_for_letting_the_mail_pass() -> None:
    found = event("found", findings=[ALLOWED])
    (bob,) = standings([found, event("verdict", action="deliver", category="CLEAN")], [], [])
    assert bob.reasons == ("served.example allows world.example",)
