"""Leaves: the content of one part, decoded in each plausible way, looked at, and searched for content within it."""

import hashlib
from functools import lru_cache

from msgspec.structs import replace

from gatepost.message import charsets, decode, flowed, inside, markup, names, office, pdf, qr, scripts, sniff, wrapped
from gatepost.message.anatomy import HEAD_BYTES, REPORT_BYTES, TEXT_BYTES, Part, Source, Symbol
from gatepost.message.decode import Reading
from gatepost.message.entity import Entity, Face, fit, with_name
from gatepost.message.table import Table, Unpacked

_TEXTS = ("text/plain", "text/html")
_REPORTS = ("message/delivery-status", "message/global-delivery-status", "message/feedback-report")
_QUIET = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"})
_CMS = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_MAILS = frozenset({"eml", "mht", "mhtml"})  # a page saved whole is a mail, too (RFC 2557)
_NO_TEXT = (
    b"MZ",
    b"PK\3\4",
    b"Rar!\x1a",
    b"7z\xbc\xaf",
    b"\x1f\x8b",
    b"\xd0\xcf\x11\xe0",
    b"%PDF-",
    b"ActiveMime",
)  # whatever is said
_PGP = b"-----BEGIN PGP MESSAGE-----"
_PDF_HERE = 1_000_000  # octets of a PDF's streams that are unpacked in the loop
_CMS_HERE = 1_000_000  # octets to which compressed S/MIME is unpacked in the loop
_TAGS_HERE = 10_000  # tags of a page whose tree is made in the loop: elements within each other take quadratic time
_FILES_HERE = 1000  # files encoded in a text that are looked for in the loop
_USUAL = 100  # octets of a Content-Type that other mails are likely to have too
_FAULTS = {
    Symbol.BASE64_BAD: "is no sound base64",
    Symbol.QP_BAD: "is no sound quoted-printable",
    Symbol.CTE_UNKNOWN: "has an unknown transfer encoding",
    Symbol.CTE_WRONG: "is not encoded as declared",
    Symbol.CHARSET_UNKNOWN: "has an unknown charset",
    Symbol.CHARSET_BAD: "does not fit its charset",
    Symbol.BODY_NOT_7BIT: "has octets above 127 and says that it has none",
    Symbol.BODY_8BIT: "has octets above 127 and no encoding that allows them",
    Symbol.TEXT_ENCODED: "has a file encoded inside its text",
}


def read(table: Table, entity: Entity, face: Face, body: int) -> list[Entity]:
    """Append a part for each reading of a body; return the entities found inside the content."""
    found: list[Entity] = []
    hidden = entity.hidden
    for encoding in face.encodings if entity.file is None else ("",):
        for reading in _readings(entity, body, encoding, face):
            if len(table.parts) >= table.limits.parts:
                return found  # whoever comes next is told
            entity.hidden = hidden
            if table.fresh(entity, body, f"{reading.encoding} {len(reading.data)}") and _affordable(table, reading):
                named = with_name(face, reading.name) if reading.name else face
                found += _keep(table, entity, named, body, reading)
            hidden = True  # all but the first
    return found


def _readings(entity: Entity, body: int, encoding: str, face: Face) -> list[Reading]:
    if encoding == "base64":
        return decode.base64_readings(memoryview(entity.data)[body : entity.end])
    raw = entity.data if body == 0 and entity.end == len(entity.data) else entity.data[body : entity.end]
    readings = decode.transfer(raw, encoding)
    if encoding in decode.IDENTITY and (face.named.all or face.media not in _TEXTS) and decode.looks_base64(raw):
        readings = readings + decode.transfer(raw, "base64")  # undeclared
    return readings


def _affordable(table: Table, reading: Reading) -> bool:
    return reading.encoding in decode.IDENTITY or table.spend(len(reading.data))


def _keep(table: Table, entity: Entity, face: Face, body: int, reading: Reading) -> list[Entity]:
    index = len(table.parts)
    content = reading.data
    text = face.media.startswith("text/")
    plain = text and not face.named.all and face.media in _TEXTS and face.disposition != "attachment"
    plain = plain and not content.startswith(_NO_TEXT)
    charset = _charset(face) if text else ""
    sniffed = "" if plain else sniff.media_type(content, face.named.all)
    kind = "" if plain else sniff.container(content)
    unpacked = _unpacked(table, content, face, kind, sniffed)
    own = _is_body(table, entity, face)
    inner, sealed, signed = _inner(table, entity, face, content, sniffed)
    for one in unpacked.mails:
        table.grow(len(one))
        inner.append(_within(table, entity, one))
    may_hold = bool(face.named.all) and not kind and not inner and wrapped.may_hold_mails(sniffed)
    texts = [one for one in wrapped.mails(content) if table.spend(len(one))] if may_hold else []
    for one in unpacked.texts:
        table.grow(len(one))
        texts.append(one)
    inner += [replace(_within(table, entity, one), hidden=True, unlikely=True) for one in texts]
    _tell(table, entity, face, reading, charset, text)
    table.parts.append(
        Part(
            index=index,
            parent=entity.parent,
            depth=entity.depth,
            headers=entity.fields,
            types=face.types,
            names=face.named.all,
            shown=face.named.shown,
            disposition=face.disposition,
            encoding=face.encodings[0] if entity.file else reading.encoding,
            charset=charset,
            content_id=face.content_id,
            attachment=_attachment(face),
            body=own,
            hidden=entity.hidden,
            sniffed=sniffed,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            head=content[: REPORT_BYTES if face.media in _REPORTS else HEAD_BYTES],
            text=content[:TEXT_BYTES] if text and table.text_fits(min(len(content), TEXT_BYTES)) else b"",
            start=body if entity.outer else -1,
            end=entity.end if entity.outer else -1,
            members=unpacked.members,
            encrypted=unpacked.encrypted,
            macros=unpacked.macros or (not kind and not plain and office.look(content, "").macros),
            sealed=sealed,
            signed=signed,
        )
    )
    _links(table, face, content, charset, sniffed, index, names=own or not _attachment(face))
    table.collector.take_aside(unpacked.links, index)
    return inner + _embedded(table, entity, index, content, face, sniffed)


def _charset(face: Face) -> str:
    for field in face.type_fields:
        found = _known_charset(field) if len(field) <= _USUAL else _named_charset(field)
        if found:
            return found
    return ""


def _named_charset(field: bytes) -> str:
    found = names.values(names.parameters(field), "charset")
    return found[0][:80] if found else ""


_known_charset = lru_cache(maxsize=256)(_named_charset)


def _attachment(face: Face) -> bool:
    """Tell whether a client lists the part among the attachments."""
    media = face.media
    if face.disposition == "attachment":
        return True
    if media in _QUIET or (face.content_id and media.startswith("image/")):
        return False
    return bool(face.named.all) or not media.startswith(("text/", "message/"))


def _is_body(table: Table, entity: Entity, face: Face) -> bool:
    """Tell whether clients show a text as the mail's own: one without a name, and a named one that is the mail itself,
    an alternative, or what a mail begins with."""
    if face.media not in _TEXTS or face.disposition == "attachment":
        return False
    if not face.named.all:
        return True
    index, parent = len(table.parts), entity.parent
    while parent >= 0 and any(kind.startswith("multipart/") for kind in table.parts[parent].types):
        if index != parent + 1 and "multipart/alternative" not in table.parts[parent].types:
            return False
        index, parent = parent, table.parts[parent].parent
    return True


def _unpacked(table: Table, content: bytes, face: Face, kind: str, sniffed: str) -> Unpacked:
    piece = sniff.is_piece(face.named.all)
    misnamed = not kind and not piece and sniff.is_misnamed(face.named.all, sniffed)
    if not kind and not piece and not misnamed:
        return Unpacked()
    label = fit(face.named.shown) or f"part {len(table.parts)}"
    if piece or misnamed:
        table.stop(f"{label}: {sniff.PIECE if piece else sniff.MISNAMED}")
    if not kind:
        return Unpacked()
    unpacked = table.unpack(content, face.named.shown)
    for problem in unpacked.problems:
        table.stop(f"{label}: {problem}")
    return unpacked


def _tell(table: Table, entity: Entity, face: Face, reading: Reading, charset: str, text: bool) -> None:
    """Note what is wrong with the first reading's encoding; the others are guesses of ours."""
    if entity.hidden or entity.file is not None:
        return
    faults = list(reading.faults)
    if reading.encoding in ("7bit", "") and not reading.data.isascii():
        said = face.encodings[0] == "7bit" or charsets.codec(charset or "utf-8") == "ascii"
        faults.append(Symbol.BODY_NOT_7BIT if said else Symbol.BODY_8BIT)
    if text and charset:
        fault = decode.charset_fault(reading.data, charset)
        faults += [fault] if fault else []
    plain = reading.encoding in decode.IDENTITY or face.media.startswith("message/global")  # RFC 6532 3.5, 6533 3
    if face.media.startswith("message/") and not plain:
        faults.append(Symbol.CTE_WRONG)
    for fault in faults:
        table.flaw(fault, f"part {len(table.parts)} {_FAULTS[fault]}", len(table.parts))


# --- what is inside --------------------------------------------------------------------------------------------------


def _inner(table: Table, entity: Entity, face: Face, content: bytes, sniffed: str) -> tuple[list[Entity], bool, bool]:
    """Return entities inside content that is no archive; whether it is sealed; whether it is signed."""
    ending = tuple(name.lower().rpartition(".")[2] for name in face.named.all)
    if not _CMS.isdisjoint(face.types) or wrapped.is_cms(face.named.all):
        seal, inside = wrapped.cms(content, _CMS_HERE) if table.inline else wrapped.cms(content)
        if seal is wrapped.Seal.UNKNOWN and inside:
            table.require_worker()
        if seal is wrapped.Seal.UNKNOWN:
            table.stop(f"{fit(face.named.shown) or 'S/MIME'}: the S/MIME content can't be read")
        entities = _signed(table, entity, face, inside) if inside and table.spend(len(inside)) else []
        return entities, seal is wrapped.Seal.ENVELOPED, seal is wrapped.Seal.SIGNED
    if sniffed == "message/rfc822" or not _MAILS.isdisjoint(ending):
        return [_within(table, entity, content)], False, False  # whatever it holds: its own parts are sealed or not
    return [], "application/pgp-encrypted" in face.types or content.find(_PGP, 0, HEAD_BYTES) >= 0, False


def _signed(table: Table, entity: Entity, face: Face, inside: bytes) -> list[Entity]:
    """Return what an S/MIME object holds: as a mail, and as a file where it is one."""
    mail = _within(table, entity, inside)
    mail.hidden |= not wrapped.begins_as_mail(inside)
    mail.unlikely |= wrapped.is_file(face.named.shown, inside)
    name = wrapped.file_name(face.named.shown, inside)
    return [mail, replace(mail, hidden=entity.hidden, file=(name.encode("utf-8", "replace"), ""))] if name else [mail]


def _within(table: Table, entity: Entity, content: bytes) -> Entity:
    """Return content that is itself a header and a body as an entity below the part that is being read."""
    data = table.keep(content)
    return Entity(
        data, 0, len(data), len(table.parts), entity.depth + 1, entity.hidden, False, unlikely=entity.unlikely
    )


def _embedded(table: Table, entity: Entity, index: int, content: bytes, face: Face, sniffed: str) -> list[Entity]:
    """Return files that stand encoded inside a text, a page, a script or a calendar (threats 51, 52)."""
    if table.inline and content.count(b"begin") > _FILES_HERE:
        table.require_worker()
    files = decode.embedded(content) if face.media.startswith("text/") or sniffed.startswith("text/") else []
    if files:
        table.flaw(Symbol.TEXT_ENCODED, f"part {index} {_FAULTS[Symbol.TEXT_ENCODED]}", index)
    if any(wrapped.is_folded(media, face.named.all) for media in face.types):
        files += [("base64", name, data) for name, data in wrapped.calendar_files(content)]
    if _is_page(face, sniffed) or sniffed == "text/xml" or sniff.script_type(face.named.all):
        files += [("base64", name, data) for name, data in scripts.files(content)]
    return [
        Entity(table.keep(data), 0, len(data), index, entity.depth + 1, entity.hidden, False, file=(name, encoding))
        for encoding, name, data in files
        if table.spend(len(data))
    ]


def _links(table: Table, face: Face, content: bytes, charset: str, sniffed: str, index: int, *, names: bool) -> None:
    if sniffed == "application/pdf" or sniff.is_pdf(content):
        _pdf_links(table, content, index)
    if _is_page(face, sniffed):
        if table.inline and content.count(b"<") > _TAGS_HERE and not markup.slow(content):
            table.require_worker()  # it may be deeper than it looks: an end tag may stand in an attribute
        for text in _texts(content, charset):
            table.collector.take_html(text, index, names=names)
    elif sniffed.startswith("text/") and sniff.script_type(face.named.all):
        for text in _texts(content, charset):
            table.collector.read_script(text, index)
    elif face.media.startswith("text/") or sniffed.startswith("text/"):
        for text in _texts(content, charset):
            table.collector.take_text(_unwrapped(text, face), index, names=names)
    elif sniffed in qr.MEDIA and table.image_fits():
        table.require_worker()
        for code in qr.texts(content):
            table.collector.read_text(code, index, Source.IMAGE)
    elif sniff.script_type(face.named.all) or sniffed in inside.POINTERS:
        table.collector.take_aside(inside.Inside().links(content, sniffed, "", face.named.all), index)


def _is_page(face: Face, sniffed: str) -> bool:
    return "text/html" in face.types or inside.is_page(sniffed, face.named.all)


def _pdf_links(table: Table, content: bytes, index: int) -> None:
    urls, whole = pdf.urls(content, _PDF_HERE if table.inline else pdf.STREAMS_BYTES, here=table.inline)
    if not whole:
        table.require_worker()
    for url in urls:
        table.collector.read_text(url, index, Source.FILE)


def _unwrapped(text: bytes, face: Face) -> bytes:
    """Return a text whose lines were broken to be sent as it is read: no URL torn."""
    if wrapped.is_folded(face.media, face.named.all):
        return wrapped.card_text(text)
    if text.startswith(b"{\\rt"):
        return inside.rtf_text(text)
    if face.media == "text/plain" and any(b"delsp" in field.lower() and _del_sp(field) for field in face.type_fields):
        lines = text.replace(b"\r\n", b"\n").decode("utf-8", "replace")
        return flowed.join(lines, delete=True).encode("utf-8", "replace")
    return text


def _del_sp(field: bytes) -> bool:
    """Tell whether the blanks at breaks are no part of the text (RFC 3676 4.2)."""
    return "yes" in (value.lower() for value in names.values(names.parameters(field), "delsp"))


def _texts(content: bytes, charset: str) -> tuple[bytes, ...]:
    """Return a text in UTF-8 as its charset or its mark says; and as it stands, where readers may not heed that."""
    told = _utf8(content, charset)
    if told is content or not (charsets.turns_ascii(charset) or content.startswith(decode.UTF_16)):
        return (told,)
    return told, content


def _utf8(content: bytes, charset: str) -> bytes:
    """Return a text in UTF-8; ASCII-like charsets need no work."""
    name = charsets.codec(charset)
    if content.startswith(decode.UTF_16):
        return decode.text(content).encode("utf-8", "replace")
    if name in ("utf-8", "ascii") or (content.isascii() and name in ("iso8859-1", "cp1252", None)):
        return content
    return decode.text(content, charset).encode("utf-8", "replace")
