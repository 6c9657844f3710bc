"""Regular expressions that users write: RE2, any case, linear in time whatever they say (threat 60)."""

from functools import lru_cache

import re2  # type: ignore[import-untyped]

MAX_LENGTH = 1000
MAX_MEMORY = 8 << 20


class Pattern:
    """One expression, ready for use; it searches in any text, half surrogate pairs included."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        options = re2.Options()
        options.case_sensitive = False
        options.max_mem = MAX_MEMORY
        options.never_capture = True  # whether it is found is all we ask, and several times cheaper
        options.log_errors = False
        self.text = text
        self._compiled = re2.compile(text.encode(), options)

    def found(self, text: str) -> bool:
        return self._compiled.search(text.encode("utf-8", "replace")) is not None


@lru_cache(maxsize=1024)
def compile_rule(text: str) -> Pattern:
    """Return the pattern, made once; raise ValueError with the engine's words and the place of the fault."""
    if not text:
        raise ValueError("the expression is empty")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the expression is longer than {MAX_LENGTH} characters")
    try:
        return Pattern(text)
    except re2.error as error:
        raise ValueError(_explained(error.args[0].decode("utf-8", "replace"), text)) from error
    except UnicodeEncodeError as error:
        raise ValueError(f"half a surrogate pair at character {error.start + 1}") from error


def _explained(said: str, text: str) -> str:
    """Add the place to what the engine said: its words end in the piece that it could not read."""
    fault, _, piece = said.partition(": ")
    if fault == "missing )":
        place = len(text)
    elif fault == "unexpected )":
        place = next(end for end in range(1, len(text) + 1) if _surplus(text[:end]))
    else:
        place = text.find(piece) + 1
    return f"{said} (at character {place})"


def _surplus(text: str) -> bool:
    try:
        Pattern(text)
    except re2.error as error:
        return bool(error.args[0].startswith(b"unexpected )"))
    return False


@lru_cache(maxsize=512)
def compile_any(texts: tuple[str, ...]) -> Pattern | None:
    r"""Return a pattern that is found wherever one of the rules is, None where there can be none.

    `\Q` may reach beyond the end of its own rule, and the whole may be too large.
    """
    if not texts or any(r"\Q" in text for text in texts):
        return None
    try:
        return Pattern("|".join(f"(?:{text})" for text in texts))
    except re2.error:
        return None
