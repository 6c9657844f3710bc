"""Where log lines go: one line each on stderr, as text or JSON, with every control character spelled out."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog

from gatepost.cli.failure import Failure
from gatepost.cli.outlet import Outlet
from gatepost.settings import Log

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_RANKS = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # sd-daemon(3)

_PLAIN = re.compile(r"[\w.@:/<>+,()\[\]-]+\Z", re.ASCII)


def configure(log: Log) -> None:
    """Send structlog and the libraries' logging to stderr in the form that the settings ask for; raise Failure."""
    lowest = level(log)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        stamp,
        structlog.processors.format_exc_info,
    ]
    last: structlog.typing.Processor = structlog.processors.JSONRenderer() if log.format == "json" else _line
    if _goes_to_journal():
        last = _ranked(last)
    outlet = _outlet(lambda lines: _lost(lines, stamp, last))
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.WriteLoggerFactory(outlet),
        cache_logger_on_first_use=True,
    )
    _adopt_stdlib(lowest, [*shared, last], outlet)


def _goes_to_journal() -> bool:
    try:
        stat = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"  # systemd.exec(5)


def _ranked(last: structlog.typing.Processor) -> structlog.typing.Processor:
    """Put each line's priority before it, which systemd's journal takes off and files the line under."""

    def line(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
        return f"<{_RANKS.get(event['level'], _RANKS['info'])}>" + str(last(logger, name, event))

    return line


def _outlet(told: Callable[[int], str]) -> TextIO:
    try:
        fd = sys.stderr.fileno()
    except OSError:  # a program that runs the command within itself has put a file of its own there
        return sys.stderr
    return cast(TextIO, Outlet(fd, told))


def _lost(lines: int, stamp: structlog.processors.TimeStamper, last: structlog.typing.Processor) -> str:
    event = {"event": "log lines lost", "lines": lines, "level": "error"}
    return str(last(None, "", stamp(None, "", event)))


def level(log: Log) -> int:
    """Return the lowest level that is told; raise Failure for a form or a level that there is none of."""
    if log.format not in ("text", "json"):
        raise Failure(f"log.format: {log.format!r} is neither text nor json", os.EX_CONFIG)
    if log.level not in LEVELS:
        raise Failure(f"log.level: {log.level!r} is none of {', '.join(LEVELS)}", os.EX_CONFIG)
    return LEVELS[log.level]


def _adopt_stdlib(level: int, processors: list[structlog.typing.Processor], outlet: TextIO) -> None:
    """Give the lines of uvicorn, aiosmtpd and asyncio the same form; their chatter stays out."""
    handler = logging.StreamHandler(outlet)
    *before, last = processors
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, level))


def _line(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> str:
    """`2026-11-20T12:00:00Z info event key=value ...`; values that could be misread stand in JSON quotes."""
    head = [
        str(event.pop("timestamp", "")),
        str(event.pop("level", "")),
        _quoted(event.pop("event", ""), "[\\w ._:-]+"),
    ]
    return " ".join([*head, *(f"{key}={_quoted(value)}" for key, value in event.items())])


def _quoted(value: object, plain: str = "") -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) and value else str(value)
    fits = re.fullmatch(plain, text, re.ASCII) if plain else _PLAIN.match(text)
    return text if fits else json.dumps(text)
