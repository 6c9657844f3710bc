"""Lists as files: workbooks and CSV, one row an entry, gone through a chunk at a time (contract A48, rules 19)."""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gatepost.api.cells import Sort, Values, columns_of, few
from gatepost.api.ids import Ids
from gatepost.api.workbook import Workbook
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Any as AnyOf
from gatepost.model.query import Condition, Op, Page, Query, Where, eq, every
from gatepost.services.exporters import Run
from gatepost.services.scratch import Scratch

CHUNK = 500  # rows
FIRST = 32  # rows of the first chunk, which tells how many there are
LONG = 5000  # rows; of more a process of its own makes the file, which for fewer would take longer to start
PIECE = 65_536  # octets of a finished file that are sent at once
CSV = "text/csv"
SUFFIX: Mapping[str, str] = {
    "application/vnd.ms-excel": "xlsx",  # by its content and its name; nothing writes the old format any more
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    CSV: "csv",
}
"""Media types that a list can be asked for in, each with the suffix of the file's name."""
RISKY = frozenset("=+-@\t\r\n＝＋－＠")
"""First letters by which a spreadsheet may take a text for a formula (threat 129)."""

Ask = Callable[[Query], Awaitable[Page[Any]]]
"""Answers a list operation for a window and a condition."""

Begin = Callable[[], Awaitable[Run | None]]
"""Has an exporter make the file; None where none is to be had."""

Awaited = Callable[[Coroutine[Any, Any, int]], Awaitable[int]]
"""Waits for what takes long as long as the client does; raises UNAVAILABLE where he leaves."""

Pieces = AsyncGenerator[bytes, None] | Run


class Stream(StreamingResponse):
    """An answer that lets go of its pieces at its end, however it ends."""

    def __init__(self, pieces: Pieces, headers: Mapping[str, str], media: str) -> None:
        super().__init__(pieces, headers=headers, media_type=media)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self):
            await super().__call__(scope, receive, send)

    async def aclose(self) -> None:
        """Let go of the pieces; for an answer of which only the head is sent."""
        await self._pieces.aclose()


class Export:
    """One list on its way out as a file of the media type `media`, called `name`."""

    def __init__(self, kind: type[msgspec.Struct], ids: Ids, media: str, name: str, scratch: Scratch) -> None:
        self._columns = columns_of(kind, ids)
        self._media = media
        self._scratch = scratch
        self._name = f"{name}.{SUFFIX[media]}"

    async def answer(
        self,
        ask: Ask,
        query: Query,
        count: Callable[[int], dict[str, str]],
        books: asyncio.Semaphore,
        begin: Begin,
        awaited: Awaited,
    ) -> Stream:
        """Return the file. CSV is written as it is sent; a workbook is made first, on disc.

        Long ones are made by an exporter, if there is one to be had, as long as the client waits; of others as many
        books at once as `books`.

        Raises what the first chunk raises, and FULL where there is no room for the workbook.
        """
        chunks = walk(ask, query)
        first = await anext(chunks)
        total = first.total or 0
        headers = count(total) | {"Content-Disposition": f'attachment; filename="{self._name}"'}
        rest = total - query.offset
        run = await begin() if (rest if query.limit is None else min(rest, query.limit)) > LONG else None
        if self._media == CSV:
            return Stream(run or self.lines(_again(first, chunks)), headers, CSV)
        pieces: Pieces
        if run:
            size, pieces = await awaited(run.size()), run
        else:
            async with books:
                file, size = await self.book(_again(first, chunks))
            pieces = pieces_of(file)
        return Stream(pieces, headers | {"Content-Length": str(size)}, self._media)

    async def lines(self, chunks: AsyncIterator[Page[Any]]) -> AsyncGenerator[bytes, None]:
        """Yield CSV, its head and then each chunk."""
        yield _csv([[column.name for column in self._columns]])
        async for page in chunks:
            yield await asyncio.to_thread(_csv, self._rows(page))

    async def book(self, chunks: AsyncIterator[Page[Any]]) -> tuple[BinaryIO, int]:
        """Return a workbook and its octets; raise FULL where there is no room for it."""
        try:
            book = await asyncio.to_thread(Workbook, self._columns, RISKY, self._scratch)
            try:
                async for page in chunks:
                    await asyncio.to_thread(book.add, page.items)
                return await asyncio.to_thread(book.finish)
            finally:
                book.close()
        except OSError as error:
            raise Problem(Kind.FULL, "There is no room to make the file.", error=str(error)) from error

    def _rows(self, page: Page[Any]) -> Iterator[Iterable[str]]:
        cells: list[list[str]] = []
        for some, column in few(page.items, self._columns):
            cells.append(_PLAIN[column.sort](column.read(some)))
            if len(cells) == len(self._columns):
                yield from zip(*cells, strict=True)
                cells.clear()


async def _again(first: Page[Any], others: AsyncIterator[Page[Any]]) -> AsyncIterator[Page[Any]]:
    yield first
    async for page in others:
        yield page


async def walk(ask: Ask, query: Query) -> AsyncIterator[Page[Any]]:
    """Yield a list's window in chunks, each from a moment of its own; the first one alone has the total.

    What is added or removed meanwhile neither repeats a row nor loses one that stays.
    """
    seen, last = 0, None
    while True:
        most = CHUNK if seen else min(FIRST, CHUNK)
        size = most if query.limit is None else min(most, query.limit - seen)
        page = await ask(_window(query, seen, last, size))
        yield page
        seen += len(page.items)
        if len(page.items) < size or seen == query.limit:
            return
        last = page.items[-1]


def _window(query: Query, seen: int, last: Any, size: int) -> Query:
    if last is None:
        return msgspec.structs.replace(query, limit=size)
    name = query.sort.removeprefix("-")
    if not hasattr(last, name):  # lists sort by a few members that they don't show
        return msgspec.structs.replace(query, offset=query.offset + seen, limit=size, total=False)
    where = every(query.where, beyond(query.sort, getattr(last, name), last.id))
    return msgspec.structs.replace(query, where=where, offset=0, limit=size, total=False)


def beyond(sort: str, value: Any, id: int) -> Condition:
    """Return the condition that holds for what comes after a row in the order of `sort`; NULL is the least value."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    later = Where("id", Op.LT if down else Op.GT, id)
    if name == "id":
        return later
    tie = every(eq(name, value), later)
    if value is None:
        return tie if down else AnyOf((Where(name, Op.NOT_NULL), tie))
    if not down:  # the bound is said apart, for the index
        return every(Where(name, Op.GE, value), AnyOf((Where(name, Op.GT, value), tie)))
    return AnyOf((Where(name, Op.LT, value), Where(name, Op.NULL), tie))


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows as RFC 4180 has them, every cell quoted."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


def _texts(values: Values) -> list[str]:
    """Return texts, "" for None; what looks like a formula begins with an apostrophe."""
    return ["" if text is None else f"'{text}" if text[:1] in RISKY else text for text in values]


def _numbers(values: Values) -> list[str]:
    return ["" if number is None else str(number) for number in values]


def _flags(values: Values) -> list[str]:
    return ["" if flag is None else "true" if flag else "false" for flag in values]


def _moments(values: Values) -> list[str]:
    return ["" if moment is None else _stamp(moment // 1000) for moment in values]


@lru_cache(1024)  # entries that were made together come together
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_PLAIN = {Sort.TEXT: _texts, Sort.NUMBER: _numbers, Sort.FLAG: _flags, Sort.MOMENT: _moments}


async def pieces_of(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """Yield what a file holds, then close it."""
    try:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
    finally:
        file.close()
