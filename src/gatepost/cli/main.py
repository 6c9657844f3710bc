"""The command `gatepost`: finds the commands, one file each, and turns what fails into exit codes of sysexits.h."""

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TextIO

import click

from gatepost.cli.failure import Failure, cause
from gatepost.model.problem import Problem
from gatepost.process import hold_the_standard_files, loaded

# Each command's module holds it as `command`; a module is imported when its command is called.
COMMANDS = {
    "admin": "List and add administrators; grant and revoke their access.",
    "api": "Ask the API for an operation, as this machine's administrator.",
    "attachment": "List, deny, allow and delete: the rules of a domain for attachments.",
    "audit": "Show who changed what.",
    "backup": "Back up the store while the daemon runs.",
    "check": "Check the settings and the store.",
    "config": "Show the settings, and where each comes from.",
    "dev": "Run a relay to try things out, with sample mails.",
    "dkim": "Show, create, replace and delete the keys that sign a domain's mail.",
    "domain": "List, add, show, check, change and delete served domains; give them further names.",
    "explain": "Explain what became of a mail, or what would become of one in a file, and why.",
    "filters": "List the filters in the order in which they run.",
    "group": "List, add and delete groups; let addresses join and leave them.",
    "health": "Ask the running daemon whether it is ready.",
    "init": "Create the store, its key and the first administrator.",
    "key": "Replace the master key, which seals the secrets of the store.",
    "learn": "Teach the classifier which mails are spam and which are ham (clean).",
    "link": "List, block, allow, skip and forget hosts that links lead to.",
    "policy": "List, show and change the policies of a domain.",
    "quarantine": "List, show, release and delete quarantined mail of all mailboxes.",
    "queue": "List, show, hold, release, retry, reroute, bounce, delete and flush deliveries; pause destinations.",
    "send": "Send a mail to a server and show the dialog.",
    "sender": "List, allow, block, protect and forget senders, for a domain or a mailbox.",
    "serve": "Run the relay until SIGTERM.",
    "suppression": "List, add and delete addresses that a domain sends no mail to.",
    "test": "Judge the mails in a folder and compare the verdicts with what is expected.",
    "token": "List, add and revoke tokens of an administrator.",
    "trace": "Find mails by sender, recipient, time and what became of them.",
    "user": "List, show, add, import, change and delete mailbox users.",
    "version": "Print the version.",
}


class Commands(click.Group):
    """The commands by name, each imported from `gatepost.cli.<name>`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = loaded(f"gatepost.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gatepost", message="%(package)s %(version)s")
@click.pass_context
def gatepost(ctx: click.Context) -> None:
    """Gatepost, a mail security relay.

    To see it at work: `gatepost dev`. To put it into service: `gatepost init`, then `gatepost serve`.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; errors go to stderr as one sentence."""
    hold_the_standard_files()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal's encoding has not is spelled out
    serves = (sys.argv[1:] if args is None else args)[:1] == ["serve"]
    held_back = {signal.SIGHUP} if serves else ()  # which would end a daemon that does not heed it yet
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, held_back)
    code = _run(args)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _passed_on(sys.stderr)
    return code if _passed_on(sys.stdout) else code or os.EX_IOERR


def _passed_on(stream: TextIO) -> bool:
    """Pass on what a standard file holds still, or drop it: Python would fail of it, with words of its own."""
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        return False
    return True


def _run(args: Sequence[str] | None) -> int:
    try:
        code = gatepost.main(args=args, prog_name="gatepost", standalone_mode=False)
    except click.UsageError as error:
        return _failed(error.show, os.EX_USAGE)
    except Failure as failure:
        return _failed(failure.show, failure.code)
    except click.ClickException as error:
        return _failed(error.show, error.exit_code)
    except Problem as problem:
        return _failed(partial(_say, problem.detail), os.EX_DATAERR)
    except click.Abort:
        return 130  # as a shell tells of SIGINT
    except SystemExit:
        return os.EX_IOERR  # by click, silently: the reader of our output has gone
    except UnicodeEncodeError as error:
        return _failed(partial(_say, f"{error.object!r} is no UTF-8"), os.EX_USAGE)
    except OSError as error:
        code = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_IOERR
        return _failed(partial(_say, cause(error)), code)
    return code if isinstance(code, int) else os.EX_OK


def _say(what: object) -> None:
    click.echo(f"Error: {what}", err=True)


def _failed(tell: Callable[[], None], code: int) -> int:
    """Tell why a command failed, if anybody is there to read it, and return its exit code."""
    with suppress(OSError):
        tell()
    return code
