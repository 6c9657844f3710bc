"""A user's set-up: Postfix A -> Gatepost -> Postfix B -> mailboxes, and B's own mail out through Gatepost."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tests.peers.daemon import Daemon
from tests.peers.daemon import running as running_daemon
from tests.peers.names import Names
from tests.peers.postfix import Postfix
from tests.peers.postfix import running as running_postfix
from tests.peers.sink import Sink

DOMAIN = "served.example"
USERS = ("bob", "carol", "dave", "eve")
ZONE = {"world.example": ["MX 10 mx.world.example."], "pest.example": ["MX 10 mx.pest.example."]}

RULES = [
    ("/filters/attachments", {"action": "DENY", "checkType": "ARCHIVE_FILENAME", "filter": r"\.exe$"}),
    ("/filters/attachments", {"action": "DENY", "checkType": "FILENAME", "filter": r"\.exe$"}),
    ("/filters/uris", {"action": "BLACKLIST_URI_HOST", "filter": "phish.example"}),
]
SENDERS = [
    {"value": "pest.example", "owner": DOMAIN, "type": "BLOCK"},
    {"value": "ada@world.example", "owner": f"eve@{DOMAIN}", "type": "BLOCK"},
]


class Chain:
    """The parts of the set-up; `world` gets what leaves, `home` what reaches the mailboxes behind B."""

    def __init__(self, gatepost: Daemon, a: Postfix, b: Postfix, world: Sink, home: Sink) -> None:
        self.gatepost = gatepost
        self.a = a
        self.b = b
        self.world = world
        self.home = home

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(self.gatepost.ask, method, path, body)

    async def held(self, user: str, folder: str = "Quarantine") -> list[Any]:
        """Return the mails that the quarantine holds for a user."""
        return await asyncio.to_thread(self.gatepost.every, f"/users/{user}@{DOMAIN}/emails/{folder}")

    async def furnish(self) -> None:
        """Serve the domain, its mail to B, with its users and rules."""
        made = await asyncio.to_thread(
            self.gatepost.serve, DOMAIN, self.b.port, *USERS, outgoingSubnets=["127.0.0.0/24"]
        )
        for path, rule in RULES:
            await self.ask("POST", f"/domains/{made['id']}{path}", rule)
        await self.ask("POST", "/wblist", SENDERS)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder with a short name (it holds sockets) that Postfix's own user may enter."""
    path = Path(tempfile.mkdtemp(prefix="gatepost-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.asynccontextmanager
async def chain() -> AsyncIterator[Chain]:
    """Start the whole set-up in a folder that goes with it."""
    async with Names(dict(ZONE)) as names, Sink() as world, Sink() as home:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(open_folder())
            made = await asyncio.to_thread(_start, stack, folder, names.address, world, home)
            await made.furnish()
            yield made


def _start(stack: contextlib.ExitStack, folder: Path, names: str, world: Sink, home: Sink) -> Chain:
    more = f'[dns]\nservers = ["{names}"]\n[relay]\nsmarthost = "127.0.0.1:{world.port}"\n'
    gatepost = stack.enter_context(running_daemon(Daemon(folder / "gatepost", more)))
    mx, trusted = gatepost.ports
    to_gatepost = f"transport_maps = inline:{{ {DOMAIN}=smtp:[127.0.0.1]:{mx} }}"
    a = Postfix(folder / "a", f"[127.0.0.1]:{world.port}", hostname="a.world.example", more=to_gatepost)
    b = Postfix(folder / "b", f"[127.0.0.1]:{trusted}", hostname=f"mail.{DOMAIN}", more="\n".join(_home(home.port)))
    stack.enter_context(running_postfix(a))
    stack.enter_context(running_postfix(b))
    return Chain(gatepost, a, b, world, home)


def _home(port: int) -> Iterator[str]:
    """What makes B the domain's mail server: it knows the mailboxes and hands their mail to the sink."""
    yield f"myorigin = {DOMAIN}"
    yield f"relay_domains = {DOMAIN}"
    known = ", ".join(f"{user}@{DOMAIN}=ok" for user in USERS)
    yield f"relay_recipient_maps = inline:{{ {known}, frank@{DOMAIN}=ok }}"
    yield f"transport_maps = inline:{{ {DOMAIN}=smtp:[127.0.0.1]:{port} }}"
    yield "smtpd_recipient_restrictions = permit_mynetworks, reject"
