"""How the servers do that engines ask: scanners of viruses and of spam beside Gatepost."""

from enum import StrEnum

import msgspec


class Standing(StrEnum):
    """What is thought of a server."""

    UP = "up"
    DOWN = "down"  # left alone after failures in a row
    PROBED = "probed"  # its rest is over: one mail tries it, the others still leave it alone


class EngineServer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A server of an engine as it stands now.

    `failures` in a row, 0 after an answer; `error` is the last one since. `busy` counts the mails that it is at.
    """

    filter: str
    server: str
    standing: Standing
    failures: int = 0
    error: str = ""
    busy: int = 0
