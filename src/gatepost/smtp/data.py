"""Reads a mail's data off the wire: finds its end, takes out the dots, refuses what may not be in a mail."""

import errno
import re
from collections.abc import Callable
from io import IncrementalNewlineDecoder
from typing import Protocol

from gatepost.model.problem import Problem
from gatepost.mta import dots
from gatepost.smtp import replies
from gatepost.smtp.replies import Reply

END = b"\r\n.\r\n"  # RFC 5321 4.1.1.4; nothing else ends a mail
_RECEIVED = re.compile(rb"\r\nreceived[ \t]*:", re.IGNORECASE)
_NEWLINE = re.compile(rb"\r\n|\r|\n")


class Draft(Protocol):
    """A place to write a mail to."""

    def write(self, data: bytes, /) -> object: ...

    def spill(self) -> object:
        """Keep it in a file from now on."""
        ...


class DataReader:
    """Takes chunks as they come and writes the mail, dots unstuffed, to a draft.

    Each piece written ends where a line ends, so that neither a stuffed dot, nor the end, nor a CR LF is ever cut in
    two. After a fault nothing more is written, but reading goes on to the true end. `fault` is then the answer.
    """

    __slots__ = ("_draft", "_head", "_held", "_line", "_normalise", "_received", "_room", "_start", "fault", "size")

    def __init__(self, draft: Draft, *, size: int, line: int, received: int, normalise: bool = False) -> None:
        self._draft = draft
        self._room = size
        self._line = line
        self._received = received
        self._normalise = normalise
        self._held = b"\r\n"  # what came before: the mail stands at the start of a line
        self._start = 2  # octets of the next piece that are no part of the mail
        self._head = True
        self.size = 0
        self.fault: Reply | None = None

    def feed(self, chunk: bytes) -> bytes | None:
        """Take a chunk; return what follows the end of the mail once the end is reached, else None."""
        data = self._held + chunk
        dot = dots.find(data, b"\r\n")
        end = data.find(END, dot) if dot >= 0 else -1
        if end >= 0:
            self._take(data[: end + 2], dotted=dot < end)
            self._held = b""
            return data[end + len(END) :]
        cut = self._cut(data)
        self._take(data[:cut], dotted=dot >= 0)
        self._held = data[cut:]
        if self.fault is None and len(self._held) > self._line + len(END):
            self.fault = replies.BODY_LINE_TOO_LONG
        return None

    def _cut(self, data: bytes) -> int:
        """Return where the last line's end begins, so that it is looked at again with what follows."""
        if self.fault is not None:
            return max(0, len(data) - len(END) + 1)
        cut = data.rfind(b"\n")
        return cut - 1 if cut > 0 and data[cut - 1] == 0x0D else cut

    def _take(self, piece: bytes, *, dotted: bool) -> None:
        if self.fault is None and piece:
            if dotted:
                piece = piece.replace(b"\r\n.", b"\r\n")
            if self._normalise:
                piece = _NEWLINE.sub(b"\r\n", piece)
            self.fault = self._flaw(piece)
            if self._start:
                piece, self._start = piece[self._start :], 0
        self.size += len(piece)
        if self.size > self._room:
            self.fault = replies.TOO_BIG  # said of a mail that is too big, whatever else is wrong with it
        elif self.fault is None and piece:
            self._keep(self._draft.write, piece)

    def _flaw(self, piece: bytes) -> Reply | None:
        if 0 in piece or not _is_clean(piece):
            return replies.BARE_IN_DATA
        if len(piece) > self._line and _has_long_line(piece, self._line):
            return replies.BODY_LINE_TOO_LONG
        return self._loop(piece) if self._head else None

    def _loop(self, piece: bytes) -> Reply | None:
        end = piece.find(b"\r\n\r\n")
        self._head = end < 0 and not piece.endswith(b"\r\n")
        self._received -= len(_RECEIVED.findall(piece if end < 0 else piece[:end]))
        return replies.LOOPING if self._received < 0 else None

    def leave_memory(self) -> None:
        """Go on in a file: there is no room in memory."""
        self._keep(self._draft.spill)

    def _keep(self, act: Callable[..., object], *data: bytes) -> None:
        try:
            act(*data)
        except Problem as problem:
            self.fault = replies.of(problem)
        except OSError as error:
            self.fault = replies.NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else replies.LOCAL_ERROR


def _is_clean(piece: bytes) -> bool:
    """Tell whether CR LF ends each line; the decoder sees all line ends in one pass, for a quarter of three counts."""
    seen = IncrementalNewlineDecoder(None, translate=False)
    seen.decode(piece.decode("latin-1"), final=True)
    return seen.newlines in (None, "\r\n")


def _has_long_line(piece: bytes, limit: int) -> bool:
    """Tell whether a line has more than `limit` octets, hopping from line end to line end in the largest steps."""
    at = 0
    while len(piece) - at > limit:
        after = piece.rfind(b"\n", at, at + limit + 2)
        if after < 0:
            return True
        at = after + 1
    return False
