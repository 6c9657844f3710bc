"""The pages: which there are, and where their files lie; app.py joins them with the API."""

from pathlib import Path

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gatepost.services.counter import Counter
from gatepost.web import browser
from gatepost.web.composing import ComposePages
from gatepost.web.forms import Forms
from gatepost.web.shares import SharePages

STATIC = Path(__file__).parent / "static"


def pages(counter: Counter) -> list[BaseRoute]:
    """Return the routes of every page."""
    forms = [*Forms(counter).routes(), *ComposePages(counter).routes(), *SharePages(counter).routes()]
    return [Route("/docs", browser.show), *forms, Mount("/static", Files(directory=STATIC))]


class Files(StaticFiles):
    """The files of the pages; a browser asks each time whether its copy is still true."""

    def file_response(self, *args: object, **more: object) -> Response:
        response = super().file_response(*args, **more)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response
