"""Signatures: the HTML under what a user writes (contract 5.16); kept as given, cleaned where it is used."""

import base64
import binascii

from gatepost.message.signature import heavy
from gatepost.model.access import Caller
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import Domain, User
from gatepost.services.access import found
from gatepost.store.store import Reader, Store, Writer

LONGEST = 262_144  # octets
_POINTER = "/sign"


def policy_of(reader: Reader, user: User) -> Policy | None:
    """Return the policy that holds for an account: its own, else its domain's."""
    domain = reader.get(Domain, user.domain_id)
    own = reader.get(Policy, user.policy_id) if user.policy_id else None
    return own or (reader.get(Policy, domain.policy_id) if domain else None)


class Signatures:
    """A user's signature; his own to change, and that of who may change his account."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Caller, user_id: int) -> str | None:
        """Return the signature in Base64, if there is one; raise MALFORMED for an account that keeps no mail."""
        user = await self._store.read(lambda reader: _account(reader, caller, user_id, "USERS_READ"))
        return _in_base64(user.sign)

    async def set(self, caller: Caller, user_id: int, sign: str) -> str | None:
        """Keep a signature, given as HTML in Base64, and return it as it is kept; an empty one clears it."""
        html = _html(sign)

        def change(writer: Writer) -> None:
            _account(writer, caller, user_id, "USERS_WRITE")
            writer.change(User, user_id, sign=html or None)

        await self._store.write(change)
        return _in_base64(html)

    async def delete(self, caller: Caller, user_id: int) -> None:
        """Remove a signature; harmless where there is none."""
        await self.set(caller, user_id, "")


def _account(reader: Reader, caller: Caller, user_id: int, permission: str) -> User:
    own = caller.user_id == user_id
    user = found(caller, "MAIL_SEND" if own else permission, reader.get(User, user_id), "user")
    policy = policy_of(reader, user)
    if policy is None or not (policy.quarantine or policy.retention or policy.archive):
        raise Problem(Kind.MALFORMED, "The account has none of the services quarantine, retention and archive.")
    return user


def _in_base64(html: str | None) -> str | None:
    return base64.b64encode(html.encode()).decode() if html else None


def _html(sign: str) -> str:
    try:
        html = base64.b64decode("".join(sign.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise Problem(Kind.MALFORMED, "The signature is not UTF-8 text in Base64.", pointer=_POINTER) from error
    if "\0" in html:
        raise Problem(Kind.MALFORMED, "The signature contains a character that is not allowed.", pointer=_POINTER)
    if len(html.encode()) > LONGEST:
        raise Problem(Kind.MALFORMED, f"A signature may have at most {LONGEST} octets.", pointer=_POINTER)
    if heavy(html):
        raise Problem(Kind.MALFORMED, "The signature has too many elements, or leaves too many open.", pointer=_POINTER)
    return html
