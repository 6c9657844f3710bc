"""Release: which kept mail may be sent on to its mailbox, and how a release stands (contract 5.7.9)."""

from collections.abc import Sequence

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


def with_releases(reader: Reader, letters: Sequence[Letter]) -> list[Letter]:
    """Return mails with the newest release of each that was released."""
    ids = {letter.copy.mail_id for letter in letters if letter.copy.released_at is not None}
    if not ids:
        return list(letters)
    released = every(Where("mail_id", Op.IN, tuple(ids)), eq("release", True))
    # Ordered by id, so that the newest comes last.
    newest = {(each.mail_id, _key(each)): each for each in reader.find(Delivery, Query(where=released)).items}
    return [_with(letter, newest.get((letter.copy.mail_id, _target(letter)))) for letter in letters]


def _with(letter: Letter, release: Delivery | None) -> Letter:
    return letter if letter.copy.released_at is None else msgspec.structs.replace(letter, release=release)


def _target(letter: Letter) -> str:
    """Whose release stands for the mail's: its mailbox's, or the first of those for whom it was held."""
    copy = letter.copy
    return _as_key(copy.held_for[0]) if copy.held_for else copy.mailbox


def _key(delivery: Delivery) -> str:
    """The mailbox that a release goes to."""
    return _as_key(delivery.recipient)


def _as_key(text: str) -> str:
    try:
        return parse_address(text).key
    except BadAddress:
        return text
