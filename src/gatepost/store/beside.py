"""The store as an exporter sees it, a process beside the one that has it open: it reads, and unseals nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography.fernet import Fernet

from gatepost.events import Metrics
from gatepost.model.problem import Kind, Problem
from gatepost.store.health import Health
from gatepost.store.item import Pace
from gatepost.store.reader import Reader
from gatepost.store.secrets import Secrets
from gatepost.store.sqlite import connect
from gatepost.store.store import Store
from gatepost.store.writer import Writer

T = TypeVar("T")


class Beside(Store):
    """The database at a path, which the daemon holds open meanwhile; raises sqlite3.Error where it can't be read.

    It must be closed, or its process ended, before the daemon closes the store: whoever is the last puts the
    write-ahead log into the database.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.parent
        self.secrets = Secrets([Fernet.generate_key()])  # what the daemon sealed stays sealed
        self.reader = Reader(connect(database, reading=True), _unspooled, Health(Metrics()).unreadable)

    async def read(self, ask: Callable[[Reader], T]) -> T:
        """Ask at once: nothing else waits in this process."""
        return ask(self.reader)

    async def _write(self, change: Callable[[Writer], T], pace: Pace) -> T:
        raise Problem(Kind.UNAVAILABLE, "the store is only read here")

    def close_sync(self) -> None:
        """Let go of the database; may be called twice."""
        self.reader.close()


def _unspooled(mail_id: str) -> str:
    raise Problem(Kind.UNAVAILABLE, "bodies are not read here", mail=mail_id)
