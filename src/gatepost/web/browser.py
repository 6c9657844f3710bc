"""The API browser: Swagger UI over /openapi.json, from our own files alone, without a script in the page."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

PAGE = Path(__file__).parent / "static" / "browser.html"
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the icons of its style sheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


async def lead(_: Request) -> Response:
    """Send whoever opens the bare address on to the page."""
    return RedirectResponse("docs", 303)


async def show(_: Request) -> Response:
    """Return the page; it holds nothing secret, what it calls asks for a token."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return FileResponse(PAGE, headers=headers, media_type="text/html")
