"""Writes the manual's page of commands from their own help, and names every page that is made from the code."""

import inspect
from collections.abc import Callable, Iterator

import click
import msgspec

from gatepost.api.openapi import encoded
from gatepost.api.site import operations
from gatepost.cli.defaults import settings_page, settings_toml
from gatepost.cli.main import COMMANDS, gatepost
from gatepost.cli.symbols import symbols_page
from gatepost.model.rights import END_USERS, MEANING, ORDER, ROLES

HEAD = """\
# Commands

`gatepost COMMAND --help` prints the same at the terminal. Every command that reads settings takes `--config FILE` (or
`GATEPOST_CONFIG`); every command that lists or shows something takes `--json`. `NO_COLOR` is honoured. Where a
table is wider than the terminal its rows go on in further lines; elsewhere a row is one line.

Exit codes are those of `sysexits.h`: 0 done, 64 wrong usage, 65 refused for its content, 66 no such thing, 69 no daemon
or server, 70 an internal error, 73 it exists already, 74 input or output failed, 75 try later, 76 the peer broke the
protocol, 77 no permission, 78 wrong settings; and 130 interrupted.

Commands that list, change or copy what is stored, or have mail judged or learnt (`queue`, `quarantine`, `domain`,
`policy`, `user`, `group`, `sender`, `attachment`, `link`, `admin`, `token`, `dkim`, `suppression`, `audit`, `health`,
`backup`, `learn`, `test`, `api`), ask the running daemon over `control.sock` in the store's directory, which only its
owner may open, so there is never a second writer. `trace` and `explain ID` ask it too, but open the store themselves
when no daemon runs.

This page is made from the code by `make docs`.
"""


def commands_page() -> str:
    """Return docs/cli.md."""
    root = click.Context(gatepost, info_name="gatepost")
    return "\n".join([HEAD, *_sections(gatepost, root, COMMANDS)])


def _sections(group: click.Group, context: click.Context, names: Iterator[str] | dict[str, str]) -> Iterator[str]:
    for name in sorted(names):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _sections(command, below, command.commands)  # type: ignore[arg-type]
        else:
            yield _section(command, below)


def _section(command: click.Command, context: click.Context) -> str:
    usage = command.collect_usage_pieces(context)
    told = inspect.cleandoc(command.help or "")  # Python 3.13 takes the indentation away by itself
    lines = [f"## {context.command_path}", "", f"    {context.command_path} {' '.join(usage)}", "", told]
    rows = [_row(param, context) for param in command.params if isinstance(param, click.Option)]
    if rows:
        lines += ["", "| option | meaning |", "| --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None
    names, meaning = (text.replace("|", "\\|") for text in record)
    return f"| `{names}` | {meaning} |"


RIGHTS = """\
# Rights

Objects form a tree: the platform, brokers, their customers, domains, mailbox users. What an administrator is granted
on a node he holds on all below it. He is told nothing of the rest: lists leave it out, and a foreign object and a
missing one are refused in the same words. What is withdrawn is gone with the next request.

* **Access** is given with `POST /domains/{id}/admins` (likewise on `/customers/{id}`, `/brokers/{id}` and
  `/platform`) to an account that is there or a new one, as names of permissions and roles, changed with `PUT
  .../admins/{id}/authorities` and taken back with `DELETE`; an account left without any is deleted. It takes GRANT on
  the node, and nobody gives what he does not hold there himself.
* **Accounts** change themselves. Others change or delete one if, wherever it holds something, they hold that too, and
  ADMINS_WRITE. The last sysadmin can't be deleted, disabled or demoted.
* **Sysadmins** (the role SYSADMIN on `/platform`) alone make and delete domains, restore them and move them to
  another customer, change policies (a domain's service flags, too) and DKIM keys, and set restricted options.
* **Brokers and customers** are covered by DOMAINS_READ and DOMAINS_WRITE. Customers are made and removed, their quota
  of domains is set and they move by who holds DOMAINS_WRITE on the broker; brokers by who holds it on the platform.
* **Mailbox users** have what their domain grants its end users (`GET` and `PUT /domains/{id}/access`), each with his
  own mailbox; the role USER unless something else was said.
  Folders and traces show them no mail that was kept for another account or a group, traces none that came before
  theirs was made or came to its address: the address may have been another's.
* **Domains** may have roles of their own (`/domains/{id}/roles`), each with a `description`, which stand for
  permissions on that domain.
* **Tokens** belong to their account: only it and sysadmins list, make and revoke them (`/admins/{id}/tokens`,
  `/users/{id}/tokens`).

This page is made from the code by `make docs`.
"""


def rights_page() -> str:
    """Return docs/rights.md: every permission and role."""
    roles = [f"| {role.name} | {role.why} |" for role in ROLES.values()]
    lines = [RIGHTS, "## Roles", "", "| role | for whom |", "| --- | --- |", *roles]
    heads = [*ROLES, "end users"]
    lines += ["", "## Permissions", "", "The last column tells what a domain may let its end users do.", ""]
    lines += [f"| permission | allows | {' | '.join(heads)} |", "| --- " * (2 + len(heads)) + "|"]
    for name in ORDER:
        held = [name in role.permissions for role in ROLES.values()] + [name in END_USERS]
        lines.append(f"| {name} | {MEANING[name]} | {' | '.join('yes' if each else '' for each in held)} |")
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """Return docs/openapi.json, in which a change of the API shows."""
    return msgspec.json.format(encoded(operations()), indent=2).decode() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "config/gatepost.toml": settings_toml,
    "docs/settings.md": settings_page,
    "docs/cli.md": commands_page,
    "docs/rights.md": rights_page,
    "docs/symbols.md": symbols_page,
    "docs/openapi.json": api_page,
}
