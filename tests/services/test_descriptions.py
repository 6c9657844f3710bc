"""What symbols mean, told beside a trace by the tables as they are when it is shown."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.house import living, queued_as

from gatepost.model.access import Caller
from gatepost.model.stored import TraceEvent
from gatepost.services.dryrun import Arrival, DryRuns
from gatepost.services.trace import Traces

pytestmark = pytest.mark.anyio

ROOT = Caller(login="root", sys_admin=True)
BOB = "bob@served.example"
MAIL = b"From: a@b.test\r\nTo: bob@served.example\r\nSubject: Hello\r\n\r\nDear Acme.\r\n"
TABLE = """
[symbols.OUR_RIVAL]
weight = 1
about = "speaks of Acme"
patterns = ["acme"]

[adverts.OUR_OFFER]
weight = 9
about = "offers something"
patterns = ["acme"]
"""


def described(events: Sequence[TraceEvent]) -> dict[str, str | None]:
    findings = [each for event in events for each in event.data.get("findings", [])]
    return {each["symbol"]: each.get("description") for each in findings if each["symbol"] in ("OUR_RIVAL", "ADVERT")}


async def test_the_table_that_is_in_force_says_what_symbols_mean_and_no_mail_keeps_it(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(TABLE)
    file = {"file": str(own)}
    filters = {"options": {"score": file, "advert": file, "sender_verify": {"enabled": False}}}
    async with living(tmp_path / "state", filters=filters) as house:
        mail_id = queued_as(await house.send(MAIL, BOB))
        services = house.gatepost.services
        judged = await services.of(DryRuns).judge(ROOT, Arrival(recipient=BOB), MAIL)
        shown = (await services.of(Traces).find(ROOT, mail_id)).events
        for events in (judged, shown):
            assert described(events) == {"OUR_RIVAL": "speaks of Acme", "ADVERT": "offers something"}
        assert set(described(house.trace(mail_id)).values()) == {None}
    own.write_text(TABLE.replace("offers something", "is an offer").replace("OUR_RIVAL", "OUR_FRIEND"))
    async with living(tmp_path / "state", filters=filters) as house:
        later = (await house.gatepost.services.of(Traces).find(ROOT, mail_id)).events
        assert described(later) == {"OUR_RIVAL": None, "ADVERT": "is an offer"}
