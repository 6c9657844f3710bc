"""Release: which kept mail may be sent on to its mailbox, and how a release stands (contract 5.7.9)."""

from collections.abc import Sequence, Set

import msgspec

from gatepost.model.address import BadAddress, parse_address
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.stored import Delivery, Letter
from gatepost.model.verdict import Folder
from gatepost.store.store import Reader


def check_release(letter: Letter, *, virus_lover: bool) -> None:
    """Raise PRECONDITION where the release of an infected mail is not confirmed, or that of a clean one is."""
    if letter.copy.folder == Folder.DRAFTS:
        raise Problem(Kind.UNPROCESSABLE, "A draft is sent, not released.")
    if letter.copy.infected and not virus_lover:
        raise Problem(Kind.PRECONDITION, "The mail is infected; its release must be confirmed.")
    if virus_lover and not letter.copy.infected:
        raise Problem(Kind.PRECONDITION, "The mail is not infected; there is nothing to confirm.")


def with_releases(reader: Reader, letters: Sequence[Letter], address: str) -> list[Letter]:
    """Return mails of one mailbox with the newest release of each that was released.

    A release went to the address that the mail came to, or to the one that its account has by now.
    """
    ids = {letter.copy.mail_id for letter in letters if letter.copy.released_at is not None}
    if not ids:
        return list(letters)
    released = every(Where("mail_id", Op.IN, tuple(ids)), eq("release", True))
    # Ordered by id, so that the newest comes last.
    newest = {(each.mail_id, _key(each)): each for each in reader.find(Delivery, Query(where=released)).items}
    return [_with(letter, newest, {letter.copy.mailbox, address}) for letter in letters]


def _with(letter: Letter, newest: dict[tuple[str, str], Delivery], addresses: Set[str]) -> Letter:
    if letter.copy.released_at is None:
        return letter
    known = [newest.get((letter.copy.mail_id, address)) for address in addresses]
    release = max((each for each in known if each is not None), key=lambda each: each.id, default=None)
    return msgspec.structs.replace(letter, release=release)


def _key(delivery: Delivery) -> str:
    """The mailbox that a release goes to."""
    try:
        return parse_address(delivery.recipient).key
    except BadAddress:
        return delivery.recipient
