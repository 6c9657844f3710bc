"""The store as an exporter sees it, a process beside the one that has it open: it reads, and unseals nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography.fernet import Fernet

from gatepost.events import Metrics
from gatepost.model.problem import Kind, Problem
from gatepost.store.connection import connect
from gatepost.store.health import Health
from gatepost.store.item import Pace
from gatepost.store.opening import abandon
from gatepost.store.reader import Reader
from gatepost.store.secrets import Secrets
from gatepost.store.store import Store
from gatepost.store.writer import Writer

T = TypeVar("T")


class Beside(Store):
    """The database at a path, which the daemon holds open meanwhile; raises sqlite3.Error where it can't be read.

    Its connection ends with the process, and is never closed: where the daemon was killed, that would put the
    write-ahead log into the database, which is the next daemon's to do. The daemon ends the process before it closes.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.parent
        self.secrets = Secrets([Fernet.generate_key()])  # what the daemon sealed stays sealed
        connection = connect(database, reading=True)
        abandon(connection)
        self.reader = Reader(connection, _unspooled, Health(Metrics()).unreadable)

    async def read(self, ask: Callable[[Reader], T]) -> T:
        """Ask at once: nothing else waits in this process."""
        return ask(self.reader)

    async def _write(self, change: Callable[[Writer], T], pace: Pace) -> T:
        raise Problem(Kind.UNAVAILABLE, "the store is only read here")

    def close_sync(self) -> None:
        """Do nothing."""


def _unspooled(mail_id: str) -> str:
    raise Problem(Kind.UNAVAILABLE, "bodies are not read here", mail=mail_id)
