"""The compose page: shows a mail that a program began, lets its user change it, and sends it; without scripts."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatepost.model.access import Purpose
from gatepost.model.problem import Kind, Problem
from gatepost.services.composing import Composing, Written
from gatepost.services.counter import Counter
from gatepost.services.draft import Draft, Parties
from gatepost.web.window import Form, Window, foreign

LARGEST = 4_000_000  # octets of the form: a text of a million letters, each of which may be sent as %XX
_MEANT = {
    Kind.MALFORMED,
    Kind.UNPROCESSABLE,
    Kind.NOT_FOUND,
    Kind.FORBIDDEN,
    Kind.TOO_LARGE,
    Kind.UNAVAILABLE,
    Kind.FULL,
    Kind.SLOWED,
    Kind.TOO_MANY,
}
"""Refusals that the user is told of beside his text, which he keeps."""


class ComposePages:
    """One page: its address came along the user's event stream, and holds until the mail is sent."""

    def __init__(self, counter: Counter, window: Window) -> None:
        self._composing = counter.of(Composing)
        self._window = window

    def routes(self) -> list[Route]:
        """Return the pages by their paths."""
        taken = self._window.taken(self._send, largest=LARGEST, holds=self._composing.look, anew=self._again)
        return [
            Route("/compose", self._window.shown(self._show), methods=["GET"]),
            Route("/compose", taken, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        draft = self._composing.look(token)
        return self._page(request, token, draft, _written(draft)) if draft else self._window.say(request, "gone", 404)

    async def _send(self, request: Request, form: Form) -> Response:
        token = form.get("token", "")
        draft = self._composing.look(token)
        if draft is None:
            return self._window.say(request, "gone", 404)
        written = _filled(form)
        try:
            await self._composing.send(token, written)
        except Problem as problem:
            if problem.kind not in _MEANT:
                raise
            return self._page(request, token, draft, written, problem.detail, 422)
        return self._window.say(request, "sent")

    async def _again(self, request: Request, form: Form) -> Response:
        """Show what was written once more, to who has the window's address: another window got him a new cookie."""
        token = form.get("token", "")
        draft = self._composing.look(token)
        if draft is None:
            raise foreign()
        return self._page(request, token, draft, _filled(form), "The form has grown old; send it once more.", 403)

    def _page(
        self, request: Request, token: str, draft: Draft, written: Written, why: str = "", status: int = 200
    ) -> Response:
        visitor = self._window.sessions.visitor(token, Purpose.COMPOSE) or self._window.sessions.stranger()
        shown = {name: getattr(written, name) for name in Written.__struct_fields__}
        author = _shown((draft.sender,)) if draft.sender else visitor.login
        about = {"why": why, "token": token, "author": author, "formatted": draft.html is not None}
        return self._window.page(
            request, "compose", visitor, status, files=self._composing.files(draft), **about, **shown
        )


def _written(draft: Draft) -> Written:
    """What the fields hold before anybody changed them."""
    return Written(_shown(draft.to), _shown(draft.cc), _shown(draft.bcc), draft.subject, draft.text or "")


def _filled(form: Form) -> Written:
    return Written(**{name: form.get(name, "") for name in Written.__struct_fields__})


def _shown(parties: Parties) -> str:
    return ", ".join(each.shown for each in parties)
