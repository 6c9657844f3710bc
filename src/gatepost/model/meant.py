"""What somebody who mistyped a name may have meant."""

import difflib
from collections.abc import Iterable

_LONGEST = 80  # characters of what was typed that are compared
_ALIKE = 0.75  # as difflib measures it


def meant(typed: str, known: Iterable[str]) -> str:
    """Return a question after the known name that is most like what was typed, whatever its case; else ""."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(typed[:_LONGEST].lower(), names, 1, _ALIKE)
    return f" (did you mean {names[close[0]]}?)" if close else ""
