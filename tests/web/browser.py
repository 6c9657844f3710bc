"""A browser without scripts: follows links, fills forms, keeps cookies; and the mails whose links it opens."""

import contextlib
import re
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from selectolax.lexbor import LexborHTMLParser
from starlette.types import ASGIApp
from tests.api.house import Api
from tests.house import House, living

ORIGIN = "https://gate.example"
SECRET = "Ghost & I"


class Browser:
    """One browser of one person."""

    def __init__(self, app: ASGIApp, ip: str = "192.0.2.1", origin: str = ORIGIN) -> None:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(ip, 40_000))
        self.client = httpx2.AsyncClient(transport=transport, base_url=origin)
        self.answer: httpx2.Response

    async def open(self, url: str) -> httpx2.Response:
        """Follow a link."""
        self.answer = await self.client.get(url)
        return self.answer

    async def submit(self, **fields: str) -> httpx2.Response:
        """Fill the form of the page that is shown, send it, and follow where it leads."""
        action, members = self.form()
        url = self.answer.url.join(action)
        self.answer = await self.client.post(url, data={**members, **fields}, follow_redirects=True)
        return self.answer

    def form(self) -> tuple[str, dict[str, str]]:
        """The action of the form that is shown, and what it holds already."""
        form = LexborHTMLParser(self.answer.text).css_first("form")
        assert form, self.answer.text
        inputs = {each.attributes["name"]: each.attributes.get("value") or "" for each in form.css("input")}
        return form.attributes["action"] or "", inputs  # type: ignore[return-value]

    @property
    def said(self) -> str:
        """The words of the page."""
        body = LexborHTMLParser(self.answer.text).body
        return re.sub(r"\s+", " ", body.text()).strip() if body else ""


class Place:
    """A whole Gatepost that sends its mails to a sink, its API, and bob@served.example."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.api = Api(house.gatepost, house.clock)  # type: ignore[arg-type]
        self.seen = 0

    async def mail(self) -> EmailMessage:
        """Return the next mail that arrives at the sink."""
        self.seen += 1
        raw = (await self.house.sink.wait(self.seen))[self.seen - 1].data
        return message_from_bytes(raw, policy=policy.default)

    async def link(self) -> str:
        """Return the link of the next mail."""
        return link_of(await self.mail())

    async def run(self, command: str, **params: Any) -> httpx2.Response:
        """Ask for a task."""
        body = {"command": command, "params": {"recipient": "bob@served.example", **params}}
        return await self.api.ask("POST", "/tasks", body)

    async def sign_in(self, password: str, login: str = "bob@served.example", **more: Any) -> httpx2.Response:
        """Sign in at the API."""
        return await self.api.ask("POST", "/login", {"login": login, "password": password, **more}, token=None)

    def browser(self, **more: str) -> Browser:
        return Browser(self.api.app, **more)


@contextlib.asynccontextmanager
async def opened(directory: Path, origin: str = ORIGIN, **sections: Any) -> AsyncIterator[Place]:
    """Open a whole Gatepost on loopback, with the address under which its pages are reached."""
    async with living(directory, http={"base_url": origin}, **sections) as house:
        yield Place(house)


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    text: str = part.get_content()
    return text


def link_of(mail: EmailMessage) -> str:
    """Return the one link of a mail, which its two parts share."""
    text = text_of(mail)
    (link,) = re.findall(r"https?://\S+", text)
    hrefs = {each.attributes["href"] for each in LexborHTMLParser(text_of(mail, "html")).css("a")}
    assert hrefs == {link}
    return link


def token_in(link: str) -> str:
    (token,) = parse_qs(urlsplit(link).query)["token"]
    return token
