"""Asks the running daemon over its control socket: what commands change goes through the one writer."""

import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from gatepost.cli.failure import Failure, refused

SOCKET_NAME = "control.sock"
SECONDS = 60.0
PAGE = 500


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over the socket file of a directory, which may have a longer path than AF_UNIX allows."""

    def __init__(self, directory: Path, seconds: float | None) -> None:
        super().__init__("localhost", timeout=seconds)
        self._directory = directory

    def connect(self) -> None:
        folder = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        finally:
            os.close(folder)


class Control:
    """The daemon that owns the store in `directory`; it takes the caller for the system's administrator."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def answers(self) -> bool:
        """Tell whether there is a daemon to ask, be it one that this user may not ask."""
        connection = _LocalConnection(self._directory, SECONDS)
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
        finally:
            connection.close()
        return True

    def ask(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """Send one request and return the decoded answer, None when it has no body; raise Failure."""
        return self._ask(method, path, _encoded(body), query)[0]

    def confirm(self, method: str, path: str, header: str, body: object = None) -> Any:
        """`ask` with a header that says that it is meant."""
        return self._ask(method, path, _encoded(body), {}, headers={header: ""})[0]

    def send(self, method: str, path: str, raw: bytes, media: str, **query: object) -> Any:
        """`ask` with a body that is no JSON."""
        return self._ask(method, path, raw, query, media)[0]

    def wait(self, method: str, path: str, body: object = None, *, seconds: float | None = None) -> Any:
        """`ask` for what takes as long as it takes, or for an answer within seconds."""
        return self._ask(method, path, _encoded(body), {}, seconds=seconds)[0]

    def every(self, path: str, **query: object) -> Iterator[Any]:
        """Yield all items of a list of the API, page by page."""
        offset = 0
        while True:
            items, total = self._ask("GET", path, None, {**query, "offset": offset, "pageSize": PAGE})
            yield from items
            offset += len(items)
            if not items or offset >= total:
                return

    def pages(self, path: str, **query: object) -> Iterator[list[Any]]:
        """Yield a list of the API that goes on behind the last id seen, page by page."""
        last: dict[str, object] = {}
        while page := self.ask("GET", path, **query, **last):
            yield page
            last = {"after": page[-1]["id"]}

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: dict[str, object],
        media: str = "application/json",
        seconds: float | None = SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Any, int]:
        target = f"{path}?{urlencode(query)}" if query else path
        told = {**(headers or {}), **({} if body is None else {"Content-Type": media})}
        connection = _LocalConnection(self._directory, seconds)
        try:
            connection.request(method, target, body, told)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_UNAVAILABLE
            raise Failure(_unreachable(self._directory, error), code) from error
        finally:
            connection.close()
        if answer.status >= 400:
            message, pointer = _reason(data, answer.status)
            where = f"{pointer}: " if pointer and answer.status != 409 else ""  # the member at fault
            text = f"{where}{message} ({answer.status})"
            raise refused(answer.status, text, taken=answer.status == 409 and bool(pointer))
        return (msgspec.json.decode(data) if data else None), int(answer.headers.get("X-Total-Count") or 0)


def segment(typed: str) -> str:
    """Return what somebody typed for an id as a segment of a path, encoded whole: no word of the API is like it."""
    return "".join(f"%{octet:02X}" for octet in typed.encode())


def _encoded(body: object) -> bytes | None:
    return None if body is None else msgspec.json.encode(body)


def _unreachable(directory: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"no gatepost is running on {directory} (start it with `gatepost serve`)"
    if isinstance(error, PermissionError):
        return f"{directory}: permission denied (run this as the user of the daemon)"
    if isinstance(error, TimeoutError):
        return f"the gatepost that runs on {directory} does not answer"
    return f"{directory / SOCKET_NAME}: {(isinstance(error, OSError) and error.strerror) or error}"


def _reason(data: bytes, status: int) -> tuple[str, str]:
    """Return what a refusal says, and the member at fault if it names one."""
    try:
        body = msgspec.json.decode(data)
        return body["message"], body.get("pointer", "")
    except (msgspec.DecodeError, KeyError, TypeError):
        return http.client.responses.get(status, ""), ""
