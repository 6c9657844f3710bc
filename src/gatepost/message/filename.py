"""Makes a file name of a stranger safe to store, to pack and to show: no path, no control, no reserved word."""

import re

from gatepost.message.plain import plain

NAME_MAX = 120  # characters
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]+')


def safe_name(shown: str, otherwise: str) -> str:
    """Return the last part of a path as a name of bounded length (threat 120); `otherwise` where nothing is left."""
    last = re.split(r"[\\/]", shown)[-1]
    safe = _UNSAFE.sub("_", plain(last, 4 * NAME_MAX)).strip(" .")
    stem, dot, end = safe.rpartition(".")
    if not stem or len(end) > 16:
        stem, dot, end = safe, "", ""
    if stem.upper() in _RESERVED:
        stem = f"_{stem}"
    return f"{stem[:NAME_MAX]}{dot}{end}" if stem else otherwise
