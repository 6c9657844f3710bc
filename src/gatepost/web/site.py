"""The pages: which there are, and where their files lie; app.py joins them with the API."""

from pathlib import Path

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gatepost.services.counter import Counter
from gatepost.settings import Http
from gatepost.web import browser
from gatepost.web.composing import ComposePages
from gatepost.web.forms import Forms
from gatepost.web.shares import SharePages
from gatepost.web.window import Window

STATIC = Path(__file__).parent / "static"


def pages(counter: Counter, settings: Http) -> list[BaseRoute]:
    """Return the routes of every page."""
    window = Window(counter, secure=settings.base_url.lower().startswith("https:"))
    forms = [route for kind in (Forms, ComposePages, SharePages) for route in kind(counter, window).routes()]
    return [Route("/", browser.lead), Route("/docs", browser.show), *forms, Mount("/static", Files(directory=STATIC))]


class Files(StaticFiles):
    """The files of the pages; a browser asks each time whether its copy is still true."""

    def file_response(self, *args: object, **more: object) -> Response:
        response = super().file_response(*args, **more)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response
