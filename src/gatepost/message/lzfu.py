"""Outlook's compressed RTF ([MS-OXRTFCP]), in which it keeps the texts of mails."""

from gatepost.message.meter import Damaged

_PACKED, _PLAIN = b"LZFu", b"MELA"
_HEAD = 16
_WINDOW = 4096
_WORDS = (  # what each text may refer to from its first octet on (2.1.3.1.5)
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    rb"SymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    + b"\r\n"
    + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_BEFORE = bytes(_WINDOW - len(_WORDS)) + _WORDS  # a window of which its end is not yet written

OCTETS = 2_000_000
"""Octets of a text that are unpacked."""


def unpacked(data: bytes, most: int = OCTETS) -> bytes:
    """Return the RTF, `most` octets of it or few more; raise Damaged."""
    kind, content = data[8:12], data[_HEAD:]
    if kind == _PLAIN:
        return content[:most]
    if kind != _PACKED:
        raise Damaged("has a text in an unknown form")
    out = bytearray(_BEFORE)
    at = 0
    while at < len(content) and len(out) - _WINDOW < most:
        runs, at = content[at], at + 1
        for bit in range(8):
            if not runs >> bit & 1:
                out += content[at : at + 1]
                at += 1
                continue
            reference = int.from_bytes(content[at : at + 2], "big")
            at += 2
            back = (len(out) + len(_WORDS) - (reference >> 4)) % _WINDOW
            if not back or at > len(content):  # its end
                return bytes(out[_WINDOW:])
            start, size = len(out) - back, (reference & 15) + 2
            run = out[start : start + size]
            out += (run * (size // len(run) + 1))[:size]  # it goes on in what it writes itself
    return bytes(out[_WINDOW:])
