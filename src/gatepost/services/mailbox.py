"""Mailboxes: the folders of kept mail, looked through, read by their owner, and released to the final mailbox."""

from functools import partial
from typing import Protocol

import msgspec

from gatepost.model.access import Caller
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.audit import ACTOR
from gatepost.model.folder import Place
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Op, Page, Query, Where, eq, every
from gatepost.model.stored import Copy, Letter, Message
from gatepost.model.tenant import Domain, User
from gatepost.model.verdict import Folder
from gatepost.services.access import forbidden, may, require
from gatepost.services.folders import Shelf, his, inside, named, roots, shelves
from gatepost.services.release import check_release, with_releases
from gatepost.services.search import Search, by_id, combined, criteria
from gatepost.store.store import Listed, Reader, Store


class Mailbox(msgspec.Struct, frozen=True):
    """An address that mail is kept for; `user` is None for one without account."""

    address: str
    domain: Domain
    user: User | None

    @property
    def scope(self) -> Domain | User:
        return self.user or self.domain

    def owned_by(self, caller: Caller) -> bool:
        return self.user is not None and self.user.id == caller.user_id

    def heir(self, caller: Caller) -> User | None:
        """Return the owner where it is he who asks, and a former holder's mail may lie here, which he is not shown."""
        return self.user if self.user is not None and self.user.heir and self.owned_by(caller) else None

    def shown_to(self, caller: Caller) -> Condition:
        """What of the mail here a caller sees."""
        heir = self.heir(caller)
        return his(heir) if heir else All(())

    def read_by_owner(self, caller: Caller) -> bool:
        """Tell whether the owner himself looks, and nobody by a token that acts for him (rules 13)."""
        return self.owned_by(caller) and caller.maker is None


class Requeue(Protocol):
    """What sends mail out of folders."""

    async def requeue(self, copy: Copy, message: Message) -> bool: ...


class Bodies(Protocol):
    """What the index of bodies offers for a search."""

    async def matching(self, mailbox: str, text: str) -> list[str]: ...


class Lessons(Protocol):
    """What the classifier's teacher offers for a release."""

    def learn_later(self, mail_id: str, scope: int, *, spam: bool) -> None: ...


class Mailboxes:
    """The counter for kept mail. Metadata is for those who may read mails in scope, content for the owner.

    Others get content with MAIL_CONTENT and a stated reason, which the audit keeps (semantics 8).
    """

    def __init__(self, store: Store, releases: Requeue, bodies: Bodies, lessons: Lessons) -> None:
        self._store = store
        self._releases = releases
        self._bodies = bodies
        self._lessons = lessons

    # Folders.

    async def folders(self, caller: Caller, who: int | str, path: str | None = None) -> tuple[Mailbox, list[Shelf]]:
        """Return the mailbox and its folders, or those below one; the system's is shown to administrators alone."""
        mailbox = self._mailbox(caller, who, "MAILS_READ")
        system = not mailbox.owned_by(caller)
        places = roots(system=system) if path is None else named(path, system=system).children
        heir = mailbox.heir(caller)
        counts = await self._store.read(lambda reader: reader.folders(mailbox.address, heir.id if heir else None))
        return mailbox, shelves(places, counts)

    # Mails.

    async def find(
        self, caller: Caller, who: int | str, path: str, search: Search, query: Query
    ) -> tuple[Mailbox, Page[Letter]]:
        """Return a page of a folder's mails that match the search; `query` gives order and window."""
        mailbox = self._mailbox(caller, who, "MAILS_READ")
        place = _folder(caller, mailbox, path)
        bodies: list[str] | None = None
        if search.body:
            _check_reader(caller, mailbox)
            if not mailbox.read_by_owner(caller):
                await self._store.record("search", mailbox.scope, after={"body": search.body})
            bodies = await self._bodies.matching(mailbox.address, search.body)
        shown = mailbox.shown_to(caller)
        return mailbox, await self._store.read(partial(_page, mailbox, shown, place, search, bodies, query))

    async def get(self, caller: Caller, who: int | str, path: str, mail: str) -> tuple[Mailbox, Letter]:
        """Return a mail of a folder by our id or its Message-ID (of several the newest); raise NOT_FOUND."""
        mailbox = self._mailbox(caller, who, "MAILS_READ")
        return mailbox, await self._letter(caller, mailbox, path, mail)

    async def open(self, caller: Caller, who: int | str, path: str, mail: str) -> Letter:
        """Return a mail whose content is about to be handed out; raise FORBIDDEN to who may not read it.

        What is infected needs the right to handle viruses as well.
        """
        mailbox = self._mailbox(caller, who, "MAILS_READ")
        _check_reader(caller, mailbox)
        letter = await self._letter(caller, mailbox, path, mail)
        if not self.handles(caller, mailbox, letter):
            raise forbidden(caller, "VIRUS_RELEASE")
        await self._note_reader(caller, mailbox, letter)
        return letter

    def handles(self, caller: Caller, mailbox: Mailbox, letter: Letter) -> bool:
        """Tell whether a mail's own octets may be handed to the caller: of an infected one they are the virus."""
        return not letter.copy.infected or may(caller, "VIRUS_RELEASE", mailbox.scope)

    async def reads(self, caller: Caller, mailbox: Mailbox, letter: Letter) -> bool:
        """Tell whether the caller may read the mail's content; if so, note that it was read."""
        if not _reads(caller, mailbox):
            return False
        if mailbox.read_by_owner(caller) and not letter.copy.seen:
            await self._store.write(lambda writer: writer.change(Copy, letter.copy.id, seen=True))
        await self._note_reader(caller, mailbox, letter)
        return True

    async def _note_reader(self, caller: Caller, mailbox: Mailbox, letter: Letter) -> None:
        """Keep in the audit that another than the owner read a mail, with the reason that he states."""
        if not mailbox.read_by_owner(caller):
            await self._store.record("read", letter.copy)

    async def release(self, caller: Caller, who: int | str, path: str, mail: str, *, virus_lover: bool) -> None:
        """Send a kept mail of a folder on to the final mailbox."""
        mailbox = self._mailbox(caller, who, "QUARANTINE_RELEASE")
        letter = await self._letter(caller, mailbox, path, mail)
        await self.send_on(caller, letter, mailbox.scope, virus_lover=virus_lover)

    async def send_on(self, caller: Caller, letter: Letter, scope: Domain | User, *, virus_lover: bool) -> None:
        """Send a kept mail on as it came and without its tag; nothing is filtered again. Who may, was asked.

        An infected one needs the confirmation and the right to release viruses, a clean one must not be confirmed
        (PRECONDITION). Out of quarantine, a clean one teaches the classifier, if the caller has the right to teach: a
        lesson counts for the whole domain. A second release while the first is on its way is the same one (contract
        A65).
        """
        if letter.copy.held_for:  # it was to leave: not for its sender to decide, whose account may be stolen
            require(caller, "QUARANTINE_RELEASE", self._store.reader.get(Domain, letter.copy.domain_id))
        check_release(letter, virus_lover=virus_lover)
        if letter.copy.infected:
            require(caller, "VIRUS_RELEASE", scope)
        await self._releases.requeue(letter.copy, letter.message)
        teaches = may(caller, "TASK_SPAMFIGHT", scope)
        if teaches and letter.copy.folder == Folder.QUARANTINE and not letter.copy.infected:
            self._lessons.learn_later(letter.copy.mail_id, letter.copy.domain_id, spam=False)
        await self._store.record("release", letter.copy)

    async def pick(self, caller: Caller, who: str, path: str, mail: str, permission: str) -> Letter:
        """Return a mail for an act that has a permission of its own; raise NOT_FOUND."""
        return await self._letter(caller, self._mailbox(caller, who, permission), path, mail)

    # How they are found.

    def _mailbox(self, caller: Caller, who: int | str, permission: str) -> Mailbox:
        """Return the mailbox of a user's id, or of an address in a served domain; permission comes first."""
        reader = self._store.reader
        if isinstance(who, str):
            key, domain = _served(reader, who)
            account = reader.first(User, eq("email", key)) if domain else None
        else:
            account = reader.get(User, who)
            domain = reader.get(Domain, account.domain_id) if account else None
            key = account.email if account else ""
        require(caller, permission, account or domain)
        if domain is None or (account is None and reader.first(Copy, eq("mailbox", key)) is None):
            raise Problem(Kind.NOT_FOUND, "There is no such user.")
        return Mailbox(key, domain, account)

    async def _letter(self, caller: Caller, mailbox: Mailbox, path: str, mail: str) -> Letter:
        place = _folder(caller, mailbox, path)
        found = await self._store.read(partial(_newest, mailbox, mailbox.shown_to(caller), place, mail))
        if found is None:
            raise Problem(Kind.NOT_FOUND, "There is no such mail in the folder.")
        return found


def _page(
    mailbox: Mailbox,
    shown: Condition,
    place: Place,
    search: Search,
    bodies: list[str] | None,
    query: Query,
    reader: Reader,
) -> Page[Letter]:
    """A page of what is shown of a folder; `bodies` are the mails whose text matches, None where that was not asked."""
    asked = criteria(search)
    if search.id:
        asked += (by_id(search.id, mailbox.address, reader),)
    if bodies is not None:
        asked += (Where("id", Op.IN, reader.copies_of(mailbox.address, bodies)),)
    where = every(inside(mailbox.address, place), shown, combined(asked, search.operator))
    with reader.at_once():
        listed = None
        if not asked and shown == All(()):  # no need to count anew
            (shelf,) = shelves([place], reader.folders(mailbox.address))
            listed = Listed(shelf.total, shelf.marks)
        page = reader.letters(msgspec.structs.replace(query, where=where), listed)
        return Page(with_releases(reader, page.items), page.total)


def _newest(mailbox: Mailbox, shown: Condition, place: Place, mail: str, reader: Reader) -> Letter | None:
    """The newest copy that is shown in a folder and that a text names."""
    where = every(inside(mailbox.address, place), shown, by_id(mail, mailbox.address, reader))
    page = reader.letters(Query(where=where, sort="-id", limit=1))
    return next(iter(with_releases(reader, page.items)), None)


def _served(reader: Reader, text: str) -> tuple[str, Domain | None]:
    """The address in the one form, under its domain's own name; None for a domain that is not served."""
    try:
        address = parse_address(text)
    except BadAddress:
        return text, None
    domain = reader.domain(address.domain)
    return (Address(address.local, domain.name).key, domain) if domain else (address.key, None)


def _folder(caller: Caller, mailbox: Mailbox, path: str) -> Place:
    return named(path, system=not mailbox.owned_by(caller))


def _reads(caller: Caller, mailbox: Mailbox) -> bool:
    """Tell whether content is for the caller: the owner, and others who state their reason (X-Access-Reason)."""
    actor = ACTOR.get()
    stated = actor is not None and actor.reason is not None
    return may(caller, "MAIL_CONTENT", mailbox.scope) and (stated or mailbox.read_by_owner(caller))


def _check_reader(caller: Caller, mailbox: Mailbox) -> None:
    if not _reads(caller, mailbox):
        raise Problem(Kind.FORBIDDEN, "The content of a mail is for its owner; others need the right and a reason.")
