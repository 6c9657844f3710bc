"""Media types in people's own words: read, and said again in one form (RFC 2045 5.1)."""

import re

_TYPE = re.compile(r"\s*([a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126})\s*", re.IGNORECASE)
_PARAMETER = re.compile(
    r";\s*(?:([a-z0-9!#$&^_.+-]{1,60})=([a-z0-9!#$%&'*+.^_`{|}~-]{1,200}|\"[ !#-\[\]-~]{0,200}\")\s*)?", re.IGNORECASE
)
_WRITTEN = ("name", "boundary")  # a file's name stands in Content-Disposition; what is in parts goes as a file


def read_media_type(text: str) -> tuple[str, ...] | None:
    """Return the type, in lower case, and its parameters as `name=value`; None where that can't be read."""
    found = _TYPE.match(text)
    if not found:
        return None
    pieces, at = [found[1].lower()], found.end()
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if not parameter:
            return None
        if parameter[1] and parameter[1].lower() not in _WRITTEN:
            pieces.append(f"{parameter[1].lower()}={parameter[2]}")
        at = parameter.end()
    return tuple(pieces)
