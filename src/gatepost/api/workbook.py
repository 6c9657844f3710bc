"""A workbook that is written row by row to the disc; nothing of it stays in memory."""

import os
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any, BinaryIO

from gatepost.api.cells import Column, Sort, Values, few
from gatepost.services.scratch import Scratch

LAST_ROW = 1_048_575  # of a sheet, counted from 0
LONGEST = 32_767  # characters that a cell holds
WIDTH = 24  # characters that a column shows
_EPOCH = 25_569  # the day 1970-01-01 in the count of spreadsheets
_DAY = 86_400  # seconds
_BLANKS = frozenset(each for each in map(chr, range(0x3001)) if each.isspace())
_PLAIN = re.compile("[^&<>_\x00-\x08\x0b-\x1f\ufffe\uffff]*")  # what stands in XML as it is
_NAMED = re.compile("_x[0-9A-Fa-f]{4}_")  # how a character is named, which a text that says so must not be taken for
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # XML 1.0 has no way to say them
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "remove_timezone": True,
}


class Workbook:
    """A workbook with a head of column names; when a sheet is full the next one goes on.

    Texts that begin with a `risky` letter bear the mark by which spreadsheets know a text that was typed with an
    apostrophe. Not for use by two threads at once; what fails for want of room raises OSError.

    The library makes the book and its head. The rows are put behind it in the library's own words, but many at once:
    cell by cell it takes some ten times as long.
    """

    def __init__(self, columns: Sequence[Column], risky: Collection[str], scratch: Scratch) -> None:
        import xlsxwriter  # type: ignore[import-untyped]  # some megabytes, for those who ask for workbooks
        from xlsxwriter.utility import xl_col_to_name  # type: ignore[import-untyped]

        self._folder = scratch.folder()
        self._path = Path(self._folder.name, "book.xlsx")
        self._book = xlsxwriter.Workbook(str(self._path), {**_OPTIONS, "tmpdir": self._folder.name})
        self._lettered = [(xl_col_to_name(at), column) for at, column in enumerate(columns)]
        self._risky = risky
        self._marked = _BLANKS.union(risky)
        self._bold = self._book.add_format({"bold": True})
        self._date = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._text = self._book.add_format({"quote_prefix": True})
        self._cells = {Sort.TEXT: self._texts, Sort.NUMBER: _numbers, Sort.FLAG: _flags, Sort.MOMENT: self._moments}
        self._open_sheet()

    def _open_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, len(self._lettered) - 1, WIDTH)
        self._sheet.write_row(0, 0, [column.name for _, column in self._lettered], self._bold)
        self._sheet._write_single_row(1)
        self._row = 0

    def add(self, entries: Sequence[Any]) -> None:
        """Write a row for each of the entries after those that are there."""
        while entries:
            if self._row == LAST_ROW:
                self._open_sheet()
            room = LAST_ROW - self._row
            self._write(entries[:room])
            entries = entries[room:]

    def _write(self, entries: Sequence[Any]) -> None:
        row, cells = self._row, list[list[str]]()
        for some, (letter, column) in few(entries, self._lettered):
            numbers = range(row + 2, row + 2 + len(some))  # as they are shown, from 1 and with the head
            starts = [f'<c r="{letter}{number}"' for number in numbers]
            cells.append(self._cells[column.sort](starts, column.read(some)))
            if len(cells) == len(self._lettered):
                rows = zip([f'<row r="{number}">' for number in numbers], *cells, repeat("</row>"))
                self._sheet.row_data_fh.write("".join(chain.from_iterable(rows)))
                row += len(some)
                cells.clear()
        self._row = self._sheet.dim_rowmax = row

    def _texts(self, starts: Sequence[str], texts: Values) -> list[str]:
        said = [text for text in texts if text]
        whole = "".join(said)
        if (
            len(whole) <= LONGEST // 2
            and _PLAIN.fullmatch(whole)
            and self._marked.isdisjoint([text[0] for text in said])
            and _BLANKS.isdisjoint([text[-1] for text in said])
        ):
            return [
                "" if text is None else f'{start} t="inlineStr"><is><t>{text}</t></is></c>'
                for start, text in zip(starts, texts, strict=True)
            ]
        return ["" if text is None else self._odd(start, text) for start, text in zip(starts, texts, strict=True)]

    def _odd(self, start: str, text: str) -> str:
        text = _cut(_UNWRITABLE.sub("\ufffd", text))
        mark = f' s="{self._text._get_xf_index()}"' if text[:1] in self._risky else ""
        text = _NAMED.sub(lambda name: f"_x005F{name[0]}", text).replace("\r", "_x000D_")
        space = ' xml:space="preserve"' if text != text.strip() else ""
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f'{start}{mark} t="inlineStr"><is><t{space}>{text}</t></is></c>'

    def _moments(self, starts: Sequence[str], moments: Values) -> list[str]:
        mark = "" if moments.count(None) == len(moments) else f' s="{self._date._get_xf_index()}"'
        return [
            "" if moment is None else f"{start}{mark}><v>{_serial(moment // 1000)}</v></c>"
            for start, moment in zip(starts, moments, strict=True)
        ]

    def finish(self) -> tuple[BinaryIO, int]:
        """Return the whole file and its size in octets; it has no name any more, and goes when the caller closes it."""
        from xlsxwriter.exceptions import XlsxFileError  # type: ignore[import-untyped]

        try:
            self._book.close()
        except XlsxFileError as error:
            raise OSError(str(error)) from error
        file = self._path.open("rb")
        self.close()
        return file, os.fstat(file.fileno()).st_size

    def close(self) -> None:
        """Take away what lies on the disc; may be called twice."""
        self._folder.cleanup()


def _numbers(starts: Sequence[str], numbers: Values) -> list[str]:
    return [
        "" if number is None else f"{start}><v>{number:.16G}</v></c>"
        for start, number in zip(starts, numbers, strict=True)
    ]


def _flags(starts: Sequence[str], flags: Values) -> list[str]:
    return [
        "" if flag is None else f'{start} t="b"><v>{int(flag)}</v></c>'
        for start, flag in zip(starts, flags, strict=True)
    ]


def _cut(text: str) -> str:
    """Return what a cell holds of a text; a character of two halves in UTF-16 counts twice."""
    if len(text) <= LONGEST // 2:
        return text
    return text.encode("utf-16-le")[: 2 * LONGEST].decode("utf-16-le", "ignore")


@lru_cache(1024)  # entries that were made together come together
def _serial(second: int) -> str:
    """Return a moment as spreadsheets count: days, and the day's part."""
    day, within = divmod(second, _DAY)
    return f"{_EPOCH + day - 1 + within / _DAY + 1:.16G}"
