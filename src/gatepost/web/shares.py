"""The page of a shared file: its name, a password where it has one, and the file itself; without scripts."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from gatepost.model.outgoing import Share
from gatepost.model.problem import Kind, Problem
from gatepost.services.counter import Counter
from gatepost.services.shares import Shares
from gatepost.services.wording import Wording
from gatepost.web.window import Form, Window, foreign, ip_of

GUARD = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


class SharePages:
    """What a link in a mail leads to. A GET shows the page alone, so that whoever scans links fetches nothing."""

    def __init__(self, counter: Counter, window: Window) -> None:
        self._shares = counter.of(Shares)
        self._wording = counter.of(Wording)
        self._window = window

    def routes(self) -> list[Route]:
        """Return the pages by their paths."""
        return [
            Route("/share", self._window.shown(self._show), methods=["GET"]),
            Route("/share", self._window.taken(self._fetch, anew=self._again), methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        share = self._shares.look(request.query_params.get("file", ""))
        return self._page(request, share) if share else self._window.say(request, "gone", 404)

    async def _fetch(self, request: Request, form: Form) -> Response:
        try:
            share, body = await self._shares.fetch(form.get("file", ""), form.get("password", ""), ip_of(request))
        except Problem as problem:
            asked = self._shares.look(form.get("file", ""))
            if problem.kind is not Kind.UNPROCESSABLE or asked is None:
                raise
            return self._page(request, asked, "wrong", 422)
        named = f"attachment; filename*=UTF-8''{quote(share.name, safe='')}"
        headers = {**GUARD, "Content-Disposition": named}
        media = "application/octet-stream"
        if body.path is not None:
            return FileResponse(body.path, headers=headers, media_type=media)
        return Response(body.data, headers=headers, media_type=media)

    async def _again(self, request: Request, form: Form) -> Response:
        """Show the page once more, where the link of another file got its reader a new cookie meanwhile."""
        share = self._shares.look(form.get("file", ""))
        if share is None:
            raise foreign()
        return self._page(request, share, status=403)

    def _page(self, request: Request, share: Share, error: str = "", status: int = 200) -> Response:
        visitor = self._window.sessions.stranger()
        about = {"file": share.id, "name": share.name, "size": max(1, round(share.size / 1000))}
        about |= {"guarded": share.password_hash is not None, "fixed": share.fixed}
        about["until"] = self._wording.moment(share.expires_at, visitor.language, "UTC")
        return self._window.page(request, "share", visitor, status, error=error, **about)
