"""Names parts and members of a mail for people: "forwarded.eml > invoice.zip > run.exe"."""

from gatepost.message.anatomy import Anatomy, Member, Part
from gatepost.message.plain import plain

NAME = 60


def of_part(anatomy: Anatomy, part: Part) -> str:
    """Return the name of a part, after those of the mails that it is inside of."""
    chain = [_name(part)]
    above = part.parent
    while above > 0:
        outer = anatomy.parts[above]
        if not outer.types[0].startswith("multipart/"):
            chain.append(_name(outer))
        above = outer.parent
    return _joined(chain[::-1])


def of_member(anatomy: Anatomy, part: Part, member: Member) -> str:
    """Return the name of an archive's member, after that of its part."""
    return _joined([of_part(anatomy, part), *member.path.split(" > ")])


def _name(part: Part) -> str:
    return part.shown or (part.names[0] if part.names else f"part {part.index} ({part.types[0]})")


def _joined(names: list[str]) -> str:
    """Join names; of a long chain the ends are kept, which say most."""
    shown = [plain(name, NAME) for name in names]
    return " > ".join(shown if len(shown) <= 4 else [*shown[:2], "...", *shown[-1:]])
