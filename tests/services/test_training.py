"""The classifier taught by releases, by tasks and by mails that are brought."""

from pathlib import Path

import pytest
from tests.house import House, living, queued_as

from gatepost.filters.score import GTUBE
from gatepost.model.access import Caller, Reach
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.model.rights import expand
from gatepost.model.tenant import User
from gatepost.services.mailbox import Mailboxes
from gatepost.services.tasks import KeptMail, Tasks, TrainClean, TrainSpam
from gatepost.services.training import Training

pytestmark = pytest.mark.anyio

ROOT = Caller(login="root", sys_admin=True)
FILTERS = {"options": {"sender_verify": {"enabled": False}}}
BOB = "bob@served.example"
SPAM = b"From: a@b.test\r\nTo: bob@served.example\r\nDate: Mon, 24 Nov 2025 12:00:00 +0000\r\n\r\n" + GTUBE + b"\r\n"


def learnt(house: House, scope: int) -> tuple[int, int]:
    return house.gatepost.lessons.learnt(scope)


async def test_releases_and_tasks_teach_the_recipients_domain_and_outlast_a_restart(tmp_path: Path) -> None:
    async with living(tmp_path, filters=FILTERS) as house:
        view = house.store.reader.domain("served.example")
        assert view is not None
        mail_id = queued_as(await house.send(SPAM, BOB))
        services = house.gatepost.services
        await services.of(Mailboxes).release(ROOT, BOB, "Quarantine", mail_id, virus_lover=False)
        await house.gatepost.lessons.settle()
        assert learnt(house, view.id) == (0, 1)
        kept = KeptMail(recipient=BOB, folder="Quarantine", id=mail_id)
        for task, counts in ((TrainSpam, (1, 0)), (TrainSpam, (1, 0)), (TrainClean, (0, 1)), (TrainSpam, (1, 0))):
            await services.of(Tasks).run(ROOT, task(params=kept), "")
            assert learnt(house, view.id) == counts
        assert learnt(house, 0) == (0, 0)
    async with living(tmp_path, filters=FILTERS) as house:
        assert learnt(house, view.id) == (1, 0)
        training = house.gatepost.services.of(Training)
        news = await training.learn(ROOT, SPAM, "SERVED.example", spam=True)
        assert (news.news, news.spam, news.clean) == (False, 1, 0)
        assert (await training.learn(ROOT, SPAM, None, spam=True)).news
        for raw, domain, kind in (
            (b"", None, Kind.MALFORMED),
            (b'as = "bob@served.example"\n', None, Kind.MALFORMED),
            (SPAM, "no.example", Kind.NOT_FOUND),
        ):
            with pytest.raises(Problem) as refused:
                await training.learn(ROOT, raw, domain, spam=True)
            assert refused.value.kind is kind
        with pytest.raises(Problem) as forbidden:
            await training.learn(Caller(login="x"), SPAM, "no.example", spam=True)
        assert forbidden.value.kind is Kind.FORBIDDEN


async def test_a_release_by_who_may_not_teach_delivers_and_teaches_nothing(tmp_path: Path) -> None:
    async with living(tmp_path, filters=FILTERS) as house:
        view = house.store.reader.domain("served.example")
        user = house.store.reader.first(User, eq("email", BOB))
        assert view is not None and user is not None
        bob = house.owner(user)
        helps = dict.fromkeys(expand((), ["HELPDESK"]), Reach(domains=frozenset({view.id})))
        helpdesk = Caller(admin_id=7, login="desk", rights=helps)
        mail_id = queued_as(await house.send(SPAM, BOB))
        mailboxes = house.gatepost.services.of(Mailboxes)
        for caller in (bob, helpdesk):
            await mailboxes.release(caller, BOB, "Quarantine", mail_id, virus_lover=False)
            await house.gatepost.lessons.settle()
            assert learnt(house, view.id) == (0, 0)
        assert await house.sink.wait(1)
