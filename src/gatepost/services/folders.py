"""Folders as they are shown: which ones a caller sees, how much lies in each, and what of the store is inside."""

from collections.abc import Iterable

import msgspec

from gatepost.model.folder import ROOTS, Place, find_place
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, eq, every
from gatepost.model.query import Any as AnyOf
from gatepost.model.tenant import User
from gatepost.model.verdict import Folder
from gatepost.store.store import FolderCount


class Shelf(msgspec.Struct, frozen=True):
    """A folder of a mailbox with its counts; a parent counts what its children show.

    `marks`: others whenever a mail came or went.
    """

    place: Place
    total: int = 0
    unseen: int = 0
    marks: tuple[int, ...] = ()


def roots(*, system: bool) -> tuple[Place, ...]:
    """Return the folders at the top; what no store flag asked for is shown only with `system`."""
    return tuple(place for place in ROOTS if system or place.folder is not Folder.SYSTEM)


def named(path: str, *, system: bool) -> Place:
    """Return the folder of a path; raise NOT_FOUND for any other text."""
    place = find_place(path)
    if place is None or (place.folder is Folder.SYSTEM and not system):
        raise Problem(Kind.NOT_FOUND, "There is no such folder.")
    return place


def shelves(places: Iterable[Place], counts: Iterable[FolderCount]) -> list[Shelf]:
    """Put the counts of a mailbox to its folders."""
    known = list(counts)
    return [_shelf(place, [each for each in known if _counts(place, each)]) for place in places]


def inside(mailbox: str, place: Place) -> Condition:
    """Return the condition that holds for the copies of a mailbox that a folder shows."""
    where = every(eq("mailbox", mailbox), eq("folder", place.folder.value))
    return where if place.category is None else every(where, eq("category", place.category.name))


def his(user: User) -> Condition:
    """Return the condition that holds for what is kept at an account's address but for a former holder's mail.

    What came while nobody had the address was kept for nobody, and so is his; a group's was kept for that.
    """
    if not user.heir:
        return All(())
    nobodys = every(eq("user_id", None), eq("group_id", None))
    return AnyOf((eq("user_id", user.id), nobodys))


def _shelf(place: Place, counts: list[FolderCount]) -> Shelf:
    return Shelf(
        place,
        sum(each.total for each in counts),
        sum(each.unseen for each in counts),
        tuple(each.mark for each in counts),
    )


def _counts(place: Place, count: FolderCount) -> bool:
    return count.folder == place.folder and (place.category is None or count.category == place.category.name)
