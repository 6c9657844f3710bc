"""Whether those whom a mail concerns still bear the addresses by which they were named, until it is written."""

from collections.abc import Callable, Iterable
from functools import cache

import msgspec

from gatepost.model.envelope import Login, Recipient
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.model.tenant import Domain, Group, User
from gatepost.mta.served import CHANGED
from gatepost.store.store import Reader


class Holders(msgspec.Struct, frozen=True):
    """Says who bears a domain's name, or an address (its key), now."""

    domain: Callable[[str], Domain | None]
    user: Callable[[str], User | None]
    group: Callable[[str], Group | None]

    def account(self, key: str) -> int | None:
        """Return the account that has an address; None where none has."""
        user = self.user(key)
        return user.id if user is not None else None

    def of(self, key: str) -> tuple[int | None, int | None]:
        """Return the account, or the group, that has an address."""
        group = self.group(key)
        return self.account(key), group.id if group is not None else None

    def check(self, recipients: Iterable[Recipient], login: Login | None) -> None:
        """Raise Problem(UNAVAILABLE) where a recipient, or who signed in, is no longer who he was when he was named.

        Until a mail has come, an account may have got another address, or a domain another name: what is kept under
        the former one would be shown to whoever gets that next.
        """
        if login is not None and not self._holds(login.email, login.user_id):
            raise Problem(Kind.UNAVAILABLE, "the account was changed while its mail came in; try again")
        if not all(self._is_same(each) for each in recipients):
            raise Problem(Kind.UNAVAILABLE, CHANGED)

    def _is_same(self, recipient: Recipient) -> bool:
        if recipient.domain is None:
            return True
        domain = self.domain(recipient.domain)
        if domain is None or (domain.id, domain.name) != (recipient.domain_id, recipient.domain):
            return False
        key = recipient.address.key
        if recipient.user_id is not None:
            return self._holds(key, recipient.user_id)
        if recipient.clean_only:  # what is kept of it is the group's
            return recipient.group is None or self.group(recipient.group) is not None
        return not recipient.provision or self.group(key) is None or self.user(key) is not None

    def _holds(self, key: str, user_id: int) -> bool:
        return self.account(key) == user_id


def holders(reader: Reader) -> Holders:
    """Return who bears what by a reader's rows."""
    return Holders(
        cache(reader.domain),
        lambda key: reader.first(User, eq("email", key)),
        lambda key: reader.first(Group, eq("email", key)),
    )
