"""How a command fails: one sentence on stderr and an exit code of sysexits.h."""

import os

import click


class Failure(click.ClickException):
    """A failure that the command can explain; `code` is one of os.EX_*, and the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def cause(error: OSError) -> str:
    """Return what the system says of an error, and of which file, without its number."""
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


# HTTP statuses of the running daemon's answers, as exit codes; any other refusal is EX_SOFTWARE.
STATUS_CODES = {
    400: os.EX_DATAERR,
    401: os.EX_NOPERM,
    403: os.EX_NOPERM,
    404: os.EX_NOINPUT,
    409: os.EX_TEMPFAIL,
    412: os.EX_DATAERR,
    413: os.EX_DATAERR,
    422: os.EX_DATAERR,
    429: os.EX_TEMPFAIL,
    503: os.EX_TEMPFAIL,
    507: os.EX_TEMPFAIL,
}


def refused(status: int, text: str, *, taken: bool = False) -> Failure:
    """Return the failure for an answer of the daemon; `taken`: there is such a thing already, also later."""
    return Failure(text, os.EX_CANTCREAT if taken else STATUS_CODES.get(status, os.EX_SOFTWARE))
