"""Takes a mail apart: any octets in, an Anatomy out; every plausible reading of the structure counts (threats 49-54).

Own linear splitter on offsets, no recursion: `email` overflows the stack and is quadratic (threats F7). What a limit
stops is told in `Anatomy.unscannable`.
"""

import time
from collections.abc import Callable

import msgspec

from gatepost.message import decode, headers, leaf, names, structure
from gatepost.message.anatomy import Anatomy, Header, Part, Symbol
from gatepost.message.entity import Entity, Face, face, file_face, fit, holds_parts
from gatepost.message.meter import Stop
from gatepost.message.table import Heavy, Table, Unpack
from gatepost.settings import Limits

_LATE = "the work on the mail took longer than {:g} s"
_BOUNDARY_FAULTS = {
    Symbol.BOUNDARY_MISSING: "has no boundary",
    Symbol.BOUNDARY_BAD: "has a boundary that is empty, too long, doubled, or holds controls",
}


def dissect(
    data: bytes,
    limits: Limits,
    *,
    unpack: Unpack | None = None,
    timer: Callable[[], float] = time.monotonic,
) -> Anatomy:
    """Take a mail apart. Archives are opened by `unpack`; without it, one that is met raises Heavy, as do many parts.

    Any octets give an Anatomy; no other exception is raised. Takes about `limits.scan_seconds` at most.
    """
    table = Table(data, limits, unpack, timer)
    root = _Root(data)
    stack = [Entity(data, 0, len(data), -1, 0)]
    try:
        while stack and _may_go_on(table):
            stack += reversed(_read(table, stack.pop(), root))
    except Stop:  # the worker's alarm, in a step that did not look at the clock
        table.stop(_LATE.format(limits.scan_seconds))
    return _anatomy(table, root)


class _Root(msgspec.Struct):
    """The mail's own header."""

    data: bytes
    fields: tuple[Header, ...] = ()
    header_end: int = -1


def _may_go_on(table: Table) -> bool:
    limits = table.limits
    if table.too_much_here():
        raise Heavy
    if len(table.parts) >= limits.parts:
        table.stop(f"the mail has more than {limits.parts} parts", Symbol.STRUCTURE_LIMIT)
        return False
    if table.late():
        table.stop(_LATE.format(limits.scan_seconds))
        return False
    return True


def _anatomy(table: Table, root: _Root) -> Anatomy:
    if table.collector.full:
        table.stop("the mail has more links than are looked into")
    summary = headers.summary(root.fields, any(part.attachment and not part.hidden for part in table.parts))
    table.collector.read_subject(summary.subject)
    parts = tuple(table.parts) or (Part(index=0, parent=-1, depth=0, headers=root.fields, types=("text/plain",)),)
    return Anatomy(
        headers=root.fields,
        header_end=max(root.header_end, 0),
        size=len(table.data),
        parts=parts,
        links=table.collector.links,
        asides=table.collector.asides,
        defects=tuple(table.defects),
        unscannable=tuple(table.unscannable),
        encrypted=any(part.encrypted for part in parts),
        sealed=any(part.sealed for part in parts),
        summary=summary,
    )


# --- one entity ------------------------------------------------------------------------------------------------------


def _read(table: Table, entity: Entity, root: _Root) -> list[Entity]:
    """Read one entity: append its part or parts, return the entities inside it in order."""
    limits = table.limits
    if entity.depth > limits.depth:
        table.stop(f"parts are nested more than {limits.depth} deep", Symbol.STRUCTURE_LIMIT, entity.parent)
        return []
    if entity.file is not None:
        return leaf.read(table, entity, file_face(*entity.file), entity.start)
    block = headers.split(entity.data, entity.start, entity.end, limits.header_bytes, limits.headers)
    if root.header_end < 0:
        root.fields, root.header_end = block.fields, block.body
    if not entity.unlikely:
        _tell_header(table, block)
    fields, body, others = _resolve(entity, block)
    entity.fields = fields
    return _open(table, entity, face(fields, entity.default), body) + others


def _tell_header(table: Table, block: headers.Block) -> None:
    index = len(table.parts)
    for fault in block.faults:
        if fault is Symbol.HEADER_LIMIT:
            table.stop(f"the header of part {index} is larger than is looked into", fault, index)
        else:
            table.flaw(fault, f"the header of part {index} has a line that is no field", index)


def _resolve(entity: Entity, block: headers.Block) -> tuple[tuple[Header, ...], int, list[Entity]]:
    """Choose where the body begins. A header with a line that is no field is read in both ways."""
    if block.junk is None:
        return block.fields, block.body, []
    before, behind = block.fields[: block.junk_fields], block.fields[block.junk_fields :]
    if entity.cut_header:
        return before, block.junk, []
    if any(field.name[:8].lower() == b"content-" for field in behind):
        return block.fields, block.body, [msgspec.structs.replace(entity, hidden=True, cut_header=True)]
    return before, block.junk, []


def _open(table: Table, entity: Entity, seen: Face, body: int) -> list[Entity]:
    """Read a body by its type; where the fields name several types, by each."""
    index = len(table.parts)
    if seen.named.cut:
        table.stop(f"part {index} has more names than are looked into")
    if seen.doubled and not entity.unlikely:
        table.flaw(Symbol.HEADER_DUPLICATE, f"part {index} has a Content- field twice", index)
    if seen.multipart:
        found = _open_multipart(table, entity, seen, body)
    elif seen.message:
        found = _open_message(table, entity, seen, body)
    else:
        return leaf.read(table, entity, seen, body)
    if not found or (seen.doubled and not all(map(holds_parts, seen.types))):
        found += leaf.read(table, msgspec.structs.replace(entity, hidden=True), seen, body)
    return found


# --- containers ------------------------------------------------------------------------------------------------------


def _open_message(table: Table, entity: Entity, seen: Face, body: int) -> list[Entity]:
    for media, symbol in (("message/partial", Symbol.PARTIAL), ("message/external-body", Symbol.EXTERNAL_BODY)):
        if media in seen.types and not entity.unlikely:
            table.flaw(symbol, f"part {len(table.parts)} is {media}", len(table.parts))
    return _regions(table, entity, seen, body, "text/plain")


def _open_multipart(table: Table, entity: Entity, seen: Face, body: int) -> list[Entity]:
    default = "message/rfc822" if "multipart/digest" in seen.types else "text/plain"
    found: list[Entity] = []
    for region in _regions(table, entity, seen, body, default):
        found += _children(table, region, seen)
    return found


def _regions(table: Table, entity: Entity, seen: Face, body: int, default: str) -> list[Entity]:
    """Append a container; return its body as it stands, and decoded where an encoding is named (threat 51).

    Decent programs attach mails encoded, and clients show them decoded: then what stands there is the hidden reading.
    """
    index = _add_container(table, entity, seen, body)
    mail = all(kind.startswith("message/") for kind in seen.types)
    plain = msgspec.structs.replace(
        entity, start=body, parent=index, depth=entity.depth + 1, default=default, cut_header=False, fields=()
    )
    found = [plain]
    for encoding in seen.encodings:
        if encoding in decode.IDENTITY:
            continue
        if not mail:
            table.flaw(Symbol.CTE_WRONG, f"part {index} is a container in {fit(encoding)}", index)
        for reading in decode.transfer(entity.data[body : entity.end], encoding):
            if reading.data and reading.encoding not in decode.IDENTITY and table.spend(len(reading.data)):
                data = table.keep(reading.data)
                hidden = plain.hidden or not (mail and headers.begins(data))
                decoded = msgspec.structs.replace(plain, data=data, start=0, end=len(data), hidden=hidden, outer=False)
                found.append(decoded)
                plain.hidden = plain.hidden or not hidden
    return found


def _add_container(table: Table, entity: Entity, seen: Face, body: int) -> int:
    index = len(table.parts)
    table.parts.append(
        Part(
            index=index,
            parent=entity.parent,
            depth=entity.depth,
            headers=entity.fields,
            types=seen.types,
            names=seen.named.all,
            shown=seen.named.shown,
            disposition=seen.disposition,
            encoding=seen.encodings[0] or "7bit",
            content_id=seen.content_id,
            container=True,
            attachment=seen.message and entity.parent >= 0,
            hidden=entity.hidden,
            start=body if entity.outer else -1,
            end=entity.end if entity.outer else -1,
            signed="multipart/signed" in seen.types,
            sealed="multipart/encrypted" in seen.types,
        )
    )
    return index


def _children(table: Table, region: Entity, seen: Face) -> list[Entity]:
    """Cut a multipart's body at each boundary that it may have, in each way (threat 50)."""
    part = region.parent
    tried: dict[bytes, None] = {}
    for field in seen.type_fields:
        some, faults = structure.boundaries(names.parameters(field))
        tried.update(dict.fromkeys(some))
        for fault in faults if region.outer else ():
            table.flaw(fault, f"part {part} {_BOUNDARY_FAULTS[fault]}", part)
    if len(tried) > structure.BOUNDARIES_MAX:
        table.stop(f"part {part} has more boundaries than are looked into", Symbol.BOUNDARY_BAD, part)
    found: list[Entity] = []
    for boundary in list(tried)[: structure.BOUNDARIES_MAX]:
        found += _cut(table, region, boundary, bool(found))
    return found or _guessed(table, region, region.start, region.end)


def _cut(table: Table, region: Entity, boundary: bytes, further: bool) -> list[Entity]:
    """Return the parts at one boundary; `further`: parts were found at another one already."""
    part, limit = region.parent, table.limits.parts
    strict = structure.cut(region.data, region.start, region.end, boundary, limit)
    if strict.more:
        table.stop(f"the mail has more than {limit} parts", Symbol.STRUCTURE_LIMIT, part)
    found = [_child(region, piece, further) for piece in strict.pieces]
    found += _cut_loosely(table, region, boundary, strict, further)
    if strict.pieces:
        if not strict.closed and not region.hidden:
            table.flaw(Symbol.BOUNDARY_OPEN, f"part {part} is not closed", part)
        if any(piece.hidden for piece in strict.pieces):
            table.flaw(Symbol.HIDDEN_PART, f"part {part} has parts behind its end", part)
        found += _guessed(table, region, *strict.preamble) + _guessed(table, region, *strict.epilogue)
    elif not found and not region.hidden:
        table.flaw(Symbol.BOUNDARY_NEVER, f"the boundary of part {part} does not occur", part)
    return found


def _cut_loosely(table: Table, region: Entity, boundary: bytes, strict: structure.Cut, further: bool) -> list[Entity]:
    other = structure.begins_alike(region.data, region.start, region.end, boundary, strict, table.limits.parts)
    if other is None or not other.pieces:
        return []
    if not region.hidden:
        table.flaw(Symbol.BOUNDARY_BAD, f"lines begin like the boundary of part {region.parent}", region.parent)
    return [_child(region, piece, further or bool(strict.pieces)) for piece in other.pieces]


def _child(region: Entity, piece: structure.Piece, further: bool) -> Entity:
    hidden = region.hidden or piece.hidden or further
    return msgspec.structs.replace(region, start=piece.start, end=piece.end, hidden=hidden)


def _guessed(table: Table, region: Entity, start: int, end: int) -> list[Entity]:
    """Find parts where none should be: in a preamble, in an epilogue, in a multipart without its boundary."""
    boundary = structure.guess(region.data, start, end)
    if boundary is None:
        return []
    if not region.hidden:
        table.flaw(Symbol.HIDDEN_PART, f"part {region.parent} has parts out of place", region.parent)
    found = structure.cut(region.data, start, end, boundary, table.limits.parts)
    return [_child(region, piece, True) for piece in found.pieces]
