"""A whole Gatepost with its API called in-process: for tests of kept mail, traces and the queue."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from tests.api.call import call
from tests.house import House, living

from gatepost.model.access import Admin, Grant, Level, Token
from gatepost.model.query import eq
from gatepost.model.tenant import User
from gatepost.services.access import digest

BASE = "https://gate.example"
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def mail(subject: str = "Hello", body: bytes = b"Good day.", *, headers: bytes = b"", message_id: str = "1") -> bytes:
    """Return a plain mail to bob@served.example."""
    head = (
        f"From: Ada <ada@world.example>\r\nTo: Bob <bob@served.example>\r\nSubject: {subject}\r\n"
        f"Date: Thu, 19 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{message_id}@world.example>\r\n"
    )
    return head.encode() + headers + b"\r\n" + body + b"\r\n"


class Desk:
    """The API of a house, asked as its sysadmin or as one of its users."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ids = house.gatepost.site.ids

    async def open(self) -> None:
        now = self.house.clock()
        admin = await self.house.add(Admin(login="root", sys_admin=True, created_at=now))
        assert isinstance(admin, Admin)
        self.root = await self._token(admin_id=admin.id)
        self.bob = await self.token_of("bob@served.example")

    async def token_of(self, email: str) -> str:
        user = self.house.store.reader.first(User, eq("email", email))
        assert user is not None
        return await self._token(user_id=user.id)

    async def helper(self, domain: str, role: str = "HELPDESK", permissions: Sequence[str] = ()) -> str:
        """Return a token of a new administrator of a domain, at its help desk or in another role.

        With `permissions` he holds these, and no role.
        """
        served = self.house.store.reader.domain(domain)
        assert served is not None
        admin = await self.house.add(Admin(login=f"help@{domain}", created_at=self.house.clock()))
        assert isinstance(admin, Admin)
        held = {"permissions": [*permissions]} if permissions else {"roles": [role]}
        await self.house.add(Grant(admin_id=admin.id, level=Level.DOMAIN, node_id=served.id, **held))
        return await self._token(admin_id=admin.id)

    async def _token(self, **owner: int) -> str:
        value = f"{'a' if 'admin_id' in owner else 'b'}{sum(owner.values()):031x}"
        await self.house.add(Token(name="test", digest=digest(value), created_at=self.house.clock(), **owner))
        return value

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        ip: str = "192.0.2.1",
    ) -> httpx2.Response:
        """Send one request and hold its answer to the contract; `token` "" is the sysadmin, None sends no token."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.root}"
        if body is not None:
            sent["Content-Type"] = "message/rfc822" if isinstance(body, bytes) else "application/json"
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        return await call(self.house.gatepost.site, method, path, content, sent, ip=ip)

    async def get(self, path: str, **more: Any) -> Any:
        """Return the JSON of a GET that must succeed."""
        answer = await self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def open_desk(directory: Path, **sections: Any) -> AsyncIterator[Desk]:
    """Open a whole Gatepost with its API; `served.example` keeps all it may."""
    sections["http"] = {"listen": [], "base_url": BASE, **sections.get("http", {})}
    async with living(directory, **sections) as house:
        desk = Desk(house)
        await desk.open()
        yield desk
