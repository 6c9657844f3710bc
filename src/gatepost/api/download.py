"""Files of strangers as downloads: only harmless types keep theirs, and nothing in them may run (threats 120, 138)."""

import re
from urllib.parse import quote

import msgspec
from starlette.responses import FileResponse, Response

from gatepost.model.envelope import Body

_SHOWN = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "application/zip", "text/plain"}
)
_GUARDED = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


class FileAsk(msgspec.Struct, frozen=True):
    """With `dl` a file is to be saved, else shown."""

    dl: bool = False


def headers(name: str, media: str, *, save: bool) -> tuple[str, dict[str, str]]:
    """Return the media type to answer with, and the headers; `save`: the file is to be saved, never shown."""
    bare = media.partition(";")[0]
    harmless = bare in _SHOWN
    plain = re.sub(r"[^ !#-\[\]-~]|%", "_", name)
    named = f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    way = "inline" if harmless and not save else "attachment"
    shown = bare if harmless else "application/octet-stream"
    return shown, {**_GUARDED, "Content-Disposition": f"{way}; {named}"}


def stored(name: str, media: str, body: Body, *, save: bool) -> Response:
    """Return a kept file as an answer."""
    shown, said = headers(name, media, save=save)
    if body.path is not None:
        return FileResponse(body.path, headers=said, media_type=shown)
    return Response(body.data, headers=said, media_type=shown)
