"""A next hop that takes every mail and remembers the last ones: where the mails of `gatepost dev` arrive."""

import asyncio
from collections import deque
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT = 1000
MESSAGE_BYTES = 60_000_000


class CatchAll:
    """Takes mail for any recipient on a loopback port; `subjects` are those of the last mails, the newest last."""

    def __init__(self) -> None:
        self.subjects: deque[str] = deque(maxlen=KEPT)
        self._taken = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1 and return the port; raise OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                self, hostname="catch-all.test", data_size_limit=MESSAGE_BYTES, enable_SMTPUTF8=True, loop=loop
            ),
            "127.0.0.1",
            port,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Remember the subject and answer with a queue id, as any server does."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        head = message_from_bytes(content.partition(b"\r\n\r\n")[0], policy=policy.compat32)
        self.subjects.append(str(head.get("Subject", "")))
        self._taken += 1
        return f"250 2.0.0 Ok: queued as CATCH{self._taken:06d}"
