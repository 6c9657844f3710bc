"""The folders of a mailbox as clients name them: a closed tree of paths over where copies lie (contract 5.7.6)."""

import msgspec

from gatepost.model.verdict import Category, Folder

# The quarantine's children, in their order; what the store flags of a policy are called in one word.
_CLASSES = {
    Category.SPAM: "Spam",
    Category.VIRUS: "Virus",
    Category.ADVERT: "Advert",
    Category.BLOCKED: "Blacklisted",
    Category.SENDER_VERIFY: "SenderVerify",
    Category.BAD_HEADERS: "BadHeaders",
    Category.BAD_ENCODING: "BadEncoding",
    Category.BAD_ATTACHMENT: "BadAttachments",
}


class Place(msgspec.Struct, frozen=True):
    """A folder, or one class of the quarantine: a child that shows what of its parent is of that category."""

    folder: Folder
    category: Category | None = None

    @property
    def name(self) -> str:
        return self.folder.value if self.category is None else _CLASSES[self.category]

    @property
    def path(self) -> str:
        return self.folder.value if self.category is None else f"{self.folder.value}/{self.name}"

    @property
    def children(self) -> tuple["Place", ...]:
        """The folders right below."""
        if self.folder is not Folder.QUARANTINE or self.category is not None:
            return ()
        return tuple(Place(self.folder, category) for category in _CLASSES)


ROOTS = tuple(Place(folder) for folder in Folder)
_PATHS = {place.path.lower(): place for root in ROOTS for place in (root, *root.children)}
_PATHS["retention"] = Place(Folder.INBOX)


def find_place(path: str) -> Place | None:
    """Return the folder of a path, in any case; None for what names none. No path but these exists (threat 121)."""
    return _PATHS.get(path.lower())
