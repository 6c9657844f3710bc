"""Turns any text of a stranger into one short line that is safe to show, to log and to answer with."""

import unicodedata

LIMIT = 200

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi and zero-width signs, surrogates, unassigned


def plain(text: str, limit: int = LIMIT) -> str:
    """Return the text with controls, invisible and direction-changing characters escaped, cut to `limit`.

    Markup stays as it is: a page escapes it, a log does not need to (threats 29, 47, 73, 141).
    """
    cut = text[: limit + 1]
    if not (cut.isascii() and cut.isprintable()):
        cut = "".join(map(_shown, cut))
    return cut if len(cut) <= limit else cut[: limit - 3].rstrip() + "..."


def plain_ascii(text: str, limit: int = LIMIT) -> str:
    """Return the same in printable ASCII, for header fields and replies that allow nothing else."""
    return plain(plain(text, limit).encode("ascii", "backslashreplace").decode("ascii"), limit)


def _shown(char: str) -> str:
    if char == " " or not (char.isspace() or unicodedata.category(char) in _HIDDEN):
        return char
    point = ord(char)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
