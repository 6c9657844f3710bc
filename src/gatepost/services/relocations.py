"""Relocations: mail goes along when its address becomes another, a slice at a time, whatever stops it on its way."""

import asyncio

from gatepost.events import keep, log
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.stored import Relocation
from gatepost.mta.home import relocation
from gatepost.store.store import Reader, Store, Writer

SLICE = 200  # copies that are moved by one write (rules 17)
PERIOD = 60.0  # seconds between two looks for what was left


class Relocations:
    """Goes on, from the start and each minute, with what a crash or a store without room has left on its way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; returns at once."""
        self._task = keep(self._forever, "relocations")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self) -> None:
        """Move all that is on its way."""
        for each in self._store.reader.find(Relocation, Query()).items:
            await finish(self._store, each.old)

    async def _forever(self) -> None:
        while True:
            await self.run()
            await asyncio.sleep(PERIOD)


def set_out(writer: Writer, old: str, new: str) -> None:
    """Give the mail of an address to another one, within the change by which its holder gets that: the first slice at
    once, the rest as a relocation. What is on its way to the old one goes on to the new one."""
    writer.remove(Relocation, eq("old", new))  # the holder comes back to what he has left there
    for each in writer.find(Relocation, Query(where=eq("new", old))).items:
        writer.change(Relocation, each.id, new=new)
    upto = writer.newest_copy()
    if writer.move_copies(old, new, upto, SLICE) == SLICE:
        writer.add(Relocation(old=old, new=new, upto=upto))


async def finish(store: Store, old: str) -> None:
    """Move the rest of what an address has left; what the store doesn't take now is left for the next look."""
    try:
        while store.reader.first(Relocation, eq("old", old)):
            await store.prepare(lambda writer: _go_on(writer, old))
    except Problem as problem:
        log.warning("mail waits to be moved to its holder's new address", old=old, why=problem.detail)


def _go_on(writer: Writer, old: str) -> None:
    left = writer.first(Relocation, eq("old", old))  # it may lead elsewhere by now, or be done
    if left is not None and writer.move_copies(left.old, left.new, left.upto, SLICE) < SLICE:
        writer.remove(Relocation, eq("id", left.id))


def check_left(reader: Reader, address: str, holder: str | None) -> None:
    """Raise CONFLICT while mail is on its way from an address, or to it, but for who has it go along (`holder`: by the
    address that he has)."""
    left = relocation(reader, address)
    if left is not None and left.new != holder:
        raise Problem(
            Kind.CONFLICT, "Mail of a former holder of the address is still being moved; try again.", pointer="/email"
        )
