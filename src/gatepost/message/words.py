"""Words: what a search in bodies goes by. Case, accents and forms of one letter make no difference."""

import re
import unicodedata

WORD_MAX = 64
"""Characters of a word that count."""

SIGNS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
"""Scripts that write no blanks between words: each sign is a word, so that any run of them is found."""

_WORD = re.compile(f"[{SIGNS}]|[^\\W_{SIGNS}]+")


def words(text: str) -> list[str]:
    """Return the words of a text in their order, folded: lower case, no accents, compatible forms as one."""
    if not text.isascii():
        apart = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(char for char in apart if not unicodedata.combining(char))
    return [word[:WORD_MAX] for word in _WORD.findall(text.casefold())]
