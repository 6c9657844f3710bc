"""Bare hosts: names in a text of which mail programs make links though no scheme stands before them.

Linear in the text: only what stands around a dot with letters behind it is looked at.
"""

import re
from collections.abc import Iterator

from gatepost.message.hosts import has_suffix

_NAME_MAX = 253  # RFC 1035 2.3.4
_SIGNS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
_BEFORE = b" \t\r\n<>([{\"':,;*|"
# The last label; not inside a name, an address, a path of Windows, a call or an assignment.
_LAST = re.compile(rb"\.(?:[A-Za-z]{2,24}+|xn--[a-z0-9-]{2,59}+)(?![\w@(\[{=\\+%$~-]|\.\w)", re.ASCII)
_REST = re.compile(rb"(?::[0-9]{1,5})?/[^\s<>\"'`]+")
# Top-level domains that are endings of files, too: `notes.md` is no host, `notes.pages.app` may be one.
_FILES = frozenset(["app", "md", "mk", "mov", "pm", "ps", "py", "rs", "sh", "so", "zip"])
_WRITTEN_WITHOUT_BLANKS = "\u2e80"  # from here on letters of East Asia, which stand beside a name without a blank


def hosts(text: bytes) -> Iterator[tuple[str, str]]:
    """Yield names that are hosts, by their top-level domain, each with the port and the path behind it, "" if none is.

    `text` is ASCII or UTF-8. A name alone is one as people write them: its last label in lower case or all of it in
    upper case, so that no sentence whose blank was forgotten ("at home.Then") is a host; no file's name, and no part of
    an e-mail address. Those that begin with www are left out: they are URLs.
    """
    end = 0
    for last in _LAST.finditer(text):
        if last.start() < end:
            continue
        before = text[max(end, last.start() - _NAME_MAX) : last.start()]
        label = before[len(before.rstrip(_SIGNS)) :]
        name = (label.lstrip(b".-") + last[0]).decode("ascii")
        if not _begins(text, last.start() - len(label)) or not _plausible(name):
            continue
        rest = _REST.match(text, last.end())
        if rest:
            end = rest.end()
            yield name, rest[0].decode("utf-8", "replace")
        elif _alone(name) and not _letter(text[last.end() : last.end() + 4], 0):
            yield name, ""


def _begins(text: bytes, start: int) -> bool:
    """Tell whether a name can begin here, by what stands before it."""
    if start == 0 or text[start - 1] in _BEFORE:
        return True
    return text[start - 1] > 127 and not _letter(text[max(0, start - 4) : start], -1)


def _letter(near: bytes, which: int) -> bool:
    """Tell whether the first (0) or the last (-1) character is a letter of a script that is written with blanks."""
    sign = near.decode("utf-8", "ignore")[which:][:1]
    return sign.isalpha() and sign < _WRITTEN_WITHOUT_BLANKS


def _plausible(name: str) -> bool:
    lower = name.lower()
    return not lower.startswith((".", "www")) and has_suffix(lower)


def _alone(name: str) -> bool:
    """Tell whether a name without a path is meant as a host."""
    above, _, last = name.rpartition(".")
    return (last.islower() or name.isupper()) and ("." in above or last.lower() not in _FILES)
