"""A workbook that is written row by row to the disc; nothing of it stays in memory."""

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

Cell = str | int | float | bool | datetime | None

LAST_ROW = 1_048_575  # of a sheet, counted from 0
LONGEST = 32_767  # characters that a cell holds
WIDTH = 24  # characters that a column shows
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

    Texts that `risky` names bear the mark by which spreadsheets know a text that was typed with an apostrophe. Not for
    use by two threads at once; what fails for want of room raises OSError.
    """

    def __init__(self, head: Sequence[str], risky: Callable[[str], bool]) -> None:
        import xlsxwriter  # type: ignore[import-untyped]  # some megabytes, for those who ask for workbooks

        self._folder = tempfile.TemporaryDirectory(prefix="gatepost-")
        self._path = Path(self._folder.name, "book.xlsx")
        self._book = xlsxwriter.Workbook(str(self._path), {**_OPTIONS, "tmpdir": self._folder.name})
        self._risky = risky
        self._head = head
        self._bold = self._book.add_format({"bold": True})
        self._date = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._text = self._book.add_format({"quote_prefix": True})
        self._open_sheet()

    def _open_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, len(self._head) - 1, WIDTH)
        self._sheet.write_row(0, 0, self._head, self._bold)
        self._row = 0

    def add(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Write rows after those that are there."""
        for row in rows:
            if self._row == LAST_ROW:
                self._open_sheet()
            self._row += 1
            for column, cell in enumerate(row):
                self._write(column, cell)

    def _write(self, column: int, cell: Cell) -> None:
        match cell:
            case str():
                text = _UNWRITABLE.sub("\ufffd", cell)[:LONGEST]
                self._sheet.write_string(self._row, column, text, self._text if self._risky(text) else None)
            case bool():
                self._sheet.write_boolean(self._row, column, cell)
            case datetime():
                self._sheet.write_datetime(self._row, column, cell, self._date)
            case int() | float():
                self._sheet.write_number(self._row, column, cell)

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
