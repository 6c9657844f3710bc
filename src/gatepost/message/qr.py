"""QR codes in images: what a phone would open; with the extra `qr` (zxing-cpp, Pillow), in the worker process alone."""

import importlib.util
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

PIXELS = 12_000_000  # of an image that is looked at: a phone's photograph
CODES = 20  # of one image
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
MEDIA = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/x-ms-bmp", "image/x-bmp"})
"""Sniffed types that are looked at."""


def available() -> bool:
    """Tell whether the libraries are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("zxingcpp", "PIL"))


def texts(image: bytes) -> Iterator[bytes]:
    """Yield what the QR codes of an image say, in UTF-8; nothing of one that can't be read, or is too large."""
    import zxingcpp
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image), formats=_FORMATS) as picture:
            if picture.width * picture.height > PIXELS:
                return
            grey = _on_white(picture).convert("L")
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError):
        return  # Pillow raises these for broken files
    for code in zxingcpp.read_barcodes(grey, formats=zxingcpp.barcode_formats_from_str("QRCode"))[:CODES]:
        yield code.text.encode("utf-8", "replace")


def _on_white(picture: "Image.Image") -> "Image.Image":
    """Return a picture as a mail client shows it: what is transparent is white."""
    from PIL import Image

    if "transparency" not in picture.info and "A" not in picture.getbands():
        return picture
    shown = picture.convert("RGBA")
    white = Image.new("RGBA", shown.size, "white")
    white.alpha_composite(shown)
    return white
