"""Training: mails that people call spam or clean, for the classifier of one domain or of all (contract A49)."""

import msgspec

from gatepost.message.headers import begins
from gatepost.model.access import Caller
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.mta.lessons import Lessons
from gatepost.services.access import PLATFORM, require
from gatepost.services.mailbox import Mailboxes
from gatepost.services.records import unprocessable
from gatepost.store.store import Store


class Learnt(msgspec.Struct, frozen=True):
    """Whether a mail was news, and how many mails of each kind were learnt by now."""

    news: bool
    spam: int
    clean: int


class Count(msgspec.Struct, frozen=True):
    """How many mails of each kind were learnt."""

    spam: int
    clean: int


class Training:
    """The counter for lessons; who may give them has TASK_SPAMFIGHT on the domain, or on the platform for all."""

    def __init__(self, store: Store, mailboxes: Mailboxes, lessons: Lessons, largest: int) -> None:
        self.largest = largest  # octets of a mail
        self._store = store
        self._mailboxes = mailboxes
        self._lessons = lessons

    async def learn(self, caller: Caller, raw: bytes, domain: str | None, *, spam: bool) -> Learnt:
        """Learn a mail for a domain, or for all; raise NOT_FOUND, MALFORMED, and what `Lessons.learn` raises."""
        scope = self.check(caller, domain)
        if not begins(raw):
            raise Problem(Kind.MALFORMED, "The body is the mail; this has no header.")
        news = await self._lessons.learn(Body(len(raw), raw), scope, spam=spam)
        return Learnt(news, *self._lessons.learnt(scope))

    def learnt(self, caller: Caller, domain: str | None) -> Count:
        """Return how many mails were learnt for a domain, or for all; raise NOT_FOUND."""
        return Count(*self._lessons.learnt(self.check(caller, domain)))

    def check(self, caller: Caller, domain: str | None) -> int:
        """Return the scope of lessons for a domain (0: for all); raise Problem to who may not give them."""
        if domain is None:
            require(caller, "TASK_SPAMFIGHT", PLATFORM)
            return 0
        found = self._store.reader.domain(domain.lower())
        require(caller, "TASK_SPAMFIGHT", found)
        if found is None:
            raise Problem(Kind.NOT_FOUND, "There is no such domain.")
        return found.id

    async def learn_kept(self, caller: Caller, recipient: str, folder: str, mail: str, *, spam: bool) -> None:
        """Learn a mail that is kept for a recipient, for his domain; raise UNPROCESSABLE where there is none."""
        try:
            letter = await self._mailboxes.pick(caller, recipient, folder, mail, "TASK_SPAMFIGHT")
        except Problem as problem:
            if problem.kind is not Kind.NOT_FOUND:
                raise
            raise unprocessable("There is no such mail.", "/params") from problem
        if letter.copy.infected and not spam:
            raise unprocessable("The mail is infected; it is not learnt as clean.", "/params/id")
        await self._lessons.learn_kept(letter.copy.mail_id, letter.copy.domain_id, spam=spam)
