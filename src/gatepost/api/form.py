"""Reads one file out of a multipart form while it comes in, so that it is never held in memory (RFC 7578)."""

from collections.abc import Callable

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from gatepost.model.problem import Kind, Problem

PARTS = 20
_AROUND = 65_536  # octets of a form beside its file


class FileForm:
    """Hands the octets of the field `file` on as they are parsed; `name` and `type` are what the form says of it."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.name = ""
        self.type = ""
        self._write = write
        self._parts = 0
        self._found = False
        self._inside = False  # of the file
        self._done = False
        self._field = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}

    async def read(self, request: Request, largest: int) -> None:
        """Read the whole form; raise MALFORMED, UNSUPPORTED, TOO_LARGE, or what `write` raises."""
        parser = self._parser(request)
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > largest + _AROUND:
                    raise Problem(Kind.TOO_LARGE, f"A file may have at most {largest} octets.")
                parser.write(chunk)
            parser.finalize()
        except MultipartParseError as error:
            raise Problem(Kind.MALFORMED, "The form is malformed.", reason=str(error)) from error
        except ClientDisconnect as error:
            raise Problem(Kind.MALFORMED, "The request ended early.") from error
        if not self._done:
            raise Problem(Kind.MALFORMED, "The form ends early.")
        if not self._found:
            raise Problem(Kind.MALFORMED, "The form has no file.", pointer="/file")

    def _parser(self, request: Request) -> MultipartParser:
        media, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
        if media != b"multipart/form-data":
            raise Problem(Kind.UNSUPPORTED, "The body must be multipart/form-data.")
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 70:
            raise Problem(Kind.MALFORMED, "The form's boundary is missing or malformed.")
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": self._on_end,
                "on_end": self._on_all,
            },
        )

    def _on_part(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            raise Problem(Kind.MALFORMED, f"A form may have at most {PARTS} parts.")
        self._headers = {}

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers(self) -> None:
        way, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if way != b"form-data" or options.get(b"name") != b"file":
            return
        if self._found:
            raise Problem(Kind.MALFORMED, "The form has several files.", pointer="/file")
        self._found = self._inside = True
        self.name = _text(options.get(b"filename", b""))
        self.type = _text(self._headers.get(b"content-type", b""))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._write(data[start:end])

    def _on_end(self) -> None:
        self._inside = False

    def _on_all(self) -> None:
        self._done = True


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem(Kind.MALFORMED, "The form is no UTF-8.", pointer="/file") from error
