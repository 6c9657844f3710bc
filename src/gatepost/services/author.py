"""Authors: as whom a caller may write: himself, by any name of his domain, his groups; administrators for accounts."""

import msgspec

from gatepost.message.compose import Party
from gatepost.model.access import Caller
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.envelope import Client, Login, Role
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import User
from gatepost.mta.directory import Directory
from gatepost.mta.home import home
from gatepost.services.access import require
from gatepost.services.accounts import name_of, usable
from gatepost.services.records import read_address
from gatepost.store.store import Store


class Author(msgspec.Struct, frozen=True):
    """On whose account a mail is written, and as whom."""

    user: User
    party: Party
    address: Address

    @property
    def client(self) -> Client:
        """Whom the road takes for the one who brings the mail: a signed-in user, by no door."""
        login = Login(self.user.id, self.user.domain_id, self.user.email)
        return Client(ip="", role=Role.SUBMISSION, login=login)


class Authors:
    """Finds the author of a mail."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def own(self, caller: Caller, who: int | str) -> User:
        """Return the caller's account, which `who` (id or address) must name; else raise FORBIDDEN (threat 114)."""
        user = self._store.reader.get(User, caller.user_id) if caller.user_id else None
        if user is None or not (who == user.id or (isinstance(who, str) and self._is(user, who))):
            raise Problem(Kind.FORBIDDEN, "Mail is written by the user of the mailbox himself.", login=caller.login)
        require(caller, "MAIL_SEND", user)
        return user

    def find(self, caller: Caller, sender: Party | None) -> Author:
        """Return the author that a caller may be; `sender` None: himself.

        An administrator with MAIL_SEND writes as any account in his scope. Raises FORBIDDEN for a sender that is not
        the caller's, MALFORMED for none, UNPROCESSABLE for one without account, or whose account is out of service.
        """
        if caller.user_id is not None:
            return self._self(caller, caller.user_id, sender)
        if sender is None:
            require(caller, "MAIL_SEND")
            raise Problem(Kind.MALFORMED, "The sender is missing.", pointer="/from")
        place = home(self._store.reader, read_address(sender.address, "/from"))
        require(caller, "MAIL_SEND", (place.user or place.domain) if place else None)
        if place is None or place.user is None:
            raise Problem(Kind.UNPROCESSABLE, "The sender has no account here.", pointer="/from")
        if not usable(self._store.reader, place.user):
            raise Problem(Kind.UNPROCESSABLE, "The sender's account is not in service.", pointer="/from")
        return Author(place.user, sender, place.address)

    def _self(self, caller: Caller, user_id: int, sender: Party | None) -> Author:
        """A user is himself, also by another name of his domain, or a group that lists him (rules 11)."""
        user = self._store.reader.get(User, user_id)
        require(caller, "MAIL_SEND", user)
        if user is None:
            raise Problem(Kind.FORBIDDEN, "The account is gone.")
        party = sender or _himself(user)
        address = read_address(party.address, "/from")
        if not self._directory.may_send(user.id, address):
            raise Problem(Kind.FORBIDDEN, "This account may not send as that address.", pointer="/from")
        return Author(user, party, address)

    def as_whom(self, user: User, sender: Party | None) -> Author:
        """Return a user as the author that he wants to be, or as himself where he may not be that one."""
        address = parse_address(sender.address) if sender else None
        if sender and address and self._directory.may_send(user.id, address):
            return Author(user, sender, address)
        return Author(user, _himself(user), parse_address(user.email))

    def _is(self, user: User, text: str) -> bool:
        try:
            place = home(self._store.reader, parse_address(text))
        except BadAddress:
            return False
        return place is not None and place.user == user


def _himself(user: User) -> Party:
    return Party(user.email, name_of(user))
