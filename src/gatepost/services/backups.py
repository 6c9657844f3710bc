"""Backups of the store, made by the daemon while it works: no second process touches a live database."""

from pathlib import Path

from gatepost.events import log
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.services.access import require_local
from gatepost.store.store import Copied, Store


class Backups:
    """Makes them for who asks over the control socket; nobody else names paths of this machine."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def make(self, caller: Caller, directory: str, *, with_key: bool) -> Copied:
        """Copy the store into a new directory; raise CONFLICT if there is one, else what keeps it from being made.

        A store that takes no writes is copied no less, for then a copy is needed most; the log tells of it instead.
        """
        require_local(caller)
        target = Path(directory)
        if not target.is_absolute():
            raise Problem(Kind.UNPROCESSABLE, "The path is not absolute.", pointer="/directory")
        copied = await self._store.backup(target, with_key=with_key)
        told = {"directory": directory, "with_key": with_key}
        try:
            await self._store.record("backup", "store", after=told)
        except Problem as problem:
            log.warning("a backup was made of which the audit can't tell", **told, why=problem.detail)
        return copied
