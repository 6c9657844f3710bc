"""`gatepost api`: any operation of the API, asked over the control socket, without a token."""

import os
import sys
from typing import Any
from urllib.parse import quote

import click
import msgspec

from gatepost.cli.control import Control
from gatepost.cli.failure import Failure
from gatepost.cli.options import with_control
from gatepost.cli.output import show_json

METHODS = click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"], case_sensitive=False)
SAFE = "/?&=%:@,;+*!$'()"  # of a path and a query, as they were typed; other letters become octets


@click.command()
@click.argument("method", type=METHODS)
@click.argument("path")
@click.argument("body", required=False)
@with_control
def command(control: Control, method: str, path: str, body: str | None) -> None:
    """Ask the API for an operation, as this machine's administrator.

    BODY is JSON; - reads it from the standard input. What is printed is JSON, too. /openapi.json tells the operations:

    `api POST /domains/ID/aliases '["example.net"]'`
    """
    if not path.startswith("/"):
        raise Failure(f"{path!r} does not begin with a slash", os.EX_USAGE)
    answer = control.ask(method, quote(path, safe=SAFE), None if body is None else _read(body))
    if answer is not None:
        show_json(answer)


def _read(body: str) -> Any:
    try:
        return msgspec.json.decode(sys.stdin.buffer.read() if body == "-" else body)
    except msgspec.DecodeError as error:
        raise Failure(f"the body is no JSON: {error}", os.EX_USAGE) from error
