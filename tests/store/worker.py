"""A small relay without wires, to be killed: it keeps, settles, releases and purges mails, and says what it did.

Before each step it prints `begin STEP NUMBER`, after it `done STEP NUMBER` or `failed STEP NUMBER KIND`.
"""

import asyncio
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
from tests.store.samples import DAY, NOW, copy, delivery, event, mail_id, message, open_store

from gatepost.model.problem import Problem
from gatepost.model.query import eq, every
from gatepost.model.stored import Delivery, State
from gatepost.store.bulk import Keep, Settle
from gatepost.store.store import Pace, Store

CUT = 1000  # octets from which a body is a file
SOON = NOW + DAY  # when every fourth copy ends


def text(number: int) -> bytes:
    """The bytes of mail `number`; every third is spooled."""
    return f"mail {number}\r\n".encode() * (200 if number % 3 == 0 else 3)


def has_copy(number: int) -> bool:
    return number % 2 == 0


def ends_soon(number: int) -> bool:
    return number % 4 == 0


def released(number: int) -> bool:
    return number % 4 == 2


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def keep(store: Store, number: int) -> None:
    draft = store.spool.draft()
    draft.write(text(number))
    body = await store.spool.adopt(await store.spool.finish(draft), mail_id(number))
    row = message(number, size=body.size, spooled=body.path is not None)
    copies = [copy(number, expires_at=SOON if ends_soon(number) else SOON + 99 * DAY)] if has_copy(number) else []
    try:
        await store.write(Keep(row, body, copies, [delivery(number)], [event()], SOON + 99 * DAY))
    except Problem:
        store.spool.forget(body)
        raise


async def settle(store: Store, number: int) -> None:
    way = store.reader.first(Delivery, every(eq("mail_id", mail_id(number)), eq("release", False)))
    done = [msgspec.structs.replace(way, state=State.DELIVERED, done_at=NOW)] if way is not None else []
    await store.write(Settle(done), pace=Pace.SOON)


async def release(store: Store, number: int) -> None:
    await store.write(lambda writer: writer.enqueue([delivery(number, release=True)]))


async def purge(store: Store, number: int) -> None:
    await store.write(lambda writer: writer.purge(SOON, 3), pace=Pace.SLOW)


async def step(name: str, store: Store, number: int) -> None:
    say("begin", name, number)
    try:
        await {"keep": keep, "settle": settle, "release": release, "purge": purge}[name](store, number)
    except Problem as problem:
        say("failed", name, number, problem.kind.value, store.healthy)
    else:
        say("done", name, number)


async def run(directory: Path, first: int, count: int) -> None:
    store = open_store(directory, spool_cut=CUT)
    say("open", store.faults)
    for number in range(first, first + count):
        if number % 2 and number - 2 >= first:  # no copy needs the bytes of that one: new ones come in their place
            await asyncio.gather(step("settle", store, number - 2), step("keep", store, number))
        else:
            await step("keep", store, number)
            if number - 2 >= first:
                await step("settle", store, number - 2)
        if number - 1 >= first and released(number - 1):
            await step("release", store, number - 1)
        if number % 5 == 0:
            await step("purge", store, number)
    say("readable", store.reader.count(Delivery, every()) >= 0)
    await store.close()
    say("closed")


def forked(told: Connection, directory: Path, first: int, count: int) -> None:
    """The same in a process that was forked: it waits for a word, and says what it does where that came from."""
    sys.dont_write_bytecode = True  # its calls would be counted with the store's
    told.recv()
    os.dup2(told.fileno(), 1)
    asyncio.run(run(directory, first, count))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
