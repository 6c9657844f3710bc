"""The API over a real store, called in-process, for tests of its operations."""

import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from argon2 import PasswordHasher
from starlette.types import ASGIApp
from tests.api.call import call
from tests.ready import lay_store

from gatepost.app import Gatepost
from gatepost.model.access import Admin, Token
from gatepost.services.access import digest
from gatepost.services.passwords import Passwords
from gatepost.services.setup import set_up
from gatepost.settings import Settings

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
BASE = "http://localhost:8080"
NOW = 1_774_457_446_695  # when the contract's examples were made


class StillClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def basic(login: str, password: str) -> dict[str, str]:
    """Return the header that shows a login and a password, or a token in its place (RFC 7617)."""
    return {"Authorization": f"Basic {base64.b64encode(f'{login}:{password}'.encode()).decode()}"}


class Api:
    """A site with its services, a sysadmin's token, and verbs to call it."""

    def __init__(self, gatepost: Gatepost, clock: StillClock) -> None:
        self.gatepost = gatepost
        self.clock = clock
        self.settings = gatepost.settings
        self.store = gatepost.store
        self.counter = gatepost.services
        self.metrics = gatepost.metrics
        self.app: ASGIApp = gatepost.site
        self.first = set_up(self.store, clock, hasher=CHEAP)
        self.token = self.first.token
        self.ids = gatepost.site.ids

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | AsyncIterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = "",
        ip: str = "192.0.2.1",
    ) -> httpx2.Response:
        """Send one request and hold its answer to the contract; `token` "" is the sysadmin, None sends no token."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        content = raw if raw is not None else None if body is None else msgspec.json.encode(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        ours = self.app is self.gatepost.site  # and not one with operations of a test's own
        return await call(self.app, method, path, content, sent, ip=ip, held=ours)

    async def get(self, path: str, **more: Any) -> Any:
        """Return the JSON of a GET that must succeed."""
        answer = await self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def make(self, path: str, body: Any, **more: Any) -> Any:
        """Return the JSON of a POST that must create."""
        answer = await self.ask("POST", path, body, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def change(self, path: str, body: Any, **more: Any) -> None:
        """Send a PATCH that must succeed."""
        answer = await self.ask("PATCH", path, body, **more)
        assert answer.status_code == 204, answer.text

    async def domain(self, name: str, **more: Any) -> Any:
        """Make a domain with one platform."""
        platform = {"name": "platform", "transportDest": "1.2.3.4", "transportType": "SMTP", "transportPort": 25}
        flags = {"quarantine": True, "retention": True, "archive": True, "status": "ENABLED", "defaultLanguage": "EN"}
        return await self.make("/domains", {"name": name, **flags, "platforms": [platform], **more})

    async def user(self, email: str, domain_id: str, **more: Any) -> Any:
        """Make an account."""
        return await self.make("/users", {"email": email, "domainId": domain_id, "status": "ENABLED", **more})

    async def token_of(self, **owner: int) -> str:
        """Make a token straight in the store: for an administrator or a user."""
        value = secrets.token_hex(16)
        row = Token(name="test", digest=digest(value), created_at=self.clock(), **owner)
        await self.store.write(lambda writer: writer.add(row))
        return value

    async def admin(self, login: str, **more: Any) -> Admin:
        """Make an administrator straight in the store."""
        row = Admin(login=login, created_at=self.clock(), **more)
        return await self.store.write(lambda writer: writer.add(row))


def open_api(directory: Path, **sections: Any) -> Api:
    """Open a fresh store and the API over it, no door open; the caller closes the store."""
    clock = StillClock()
    http = {"base_url": BASE, **sections.pop("http", {})}
    settings = msgspec.convert({"store": {"directory": str(directory)}, "http": http, **sections}, Settings)
    lay_store(directory)
    gatepost = Gatepost(settings, clock=clock, passwords=Passwords(clock, CHEAP))
    gatepost.build()
    return Api(gatepost, clock)
