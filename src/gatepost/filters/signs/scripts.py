"""Alphabets: words that mix those which look alike, and characters that nobody sees."""

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"[^\W\d_]{2,}")
_ALIKE = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
UNSEEN = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad\u034f\u180e]")
TORN = re.compile(r"(?<=[^\W\d_])[\u200b\u200c\u200e\u200f\u2060-\u2064\ufeff\u034f]+(?=[^\W\d_])")


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    name = unicodedata.name(char, "")
    return next((script for script in _ALIKE if name.startswith(script)), "")


def mixed(text: str) -> list[str]:
    """Return the words that mix Latin with an alphabet whose letters look like it."""
    if text.isascii():
        return []
    return [word for word in _WORD.findall(text) if not word.isascii() and len(_scripts(word)) > 1]


def _scripts(word: str) -> set[str]:
    return {script for script in map(_script, word) if script}
