"""Options that commands share: --config, --json, and what a command gets from them."""

import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gatepost.cli.control import Control
from gatepost.cli.failure import Failure
from gatepost.configuration import Loaded, load
from gatepost.model.route import Transport
from gatepost.model.tenant import Language
from gatepost.settings import Settings, SettingsError

config_option = click.option(
    "--config",
    "-c",
    "config",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),  # what can't be read is an error of settings
    envvar="GATEPOST_CONFIG",
    help="The settings file; /etc/gatepost/gatepost.toml when none is named.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
language_option = click.option(
    "--language",
    type=click.Choice([each.value for each in Language], case_sensitive=False),
    default="EN",
    show_default=True,
    help="The language of mails and pages for people.",
)
transports = click.Choice([each.value for each in Transport], case_sensitive=False)
transport_option = click.option(
    "--transport",
    type=transports,
    default="SMTPS_MAY",
    show_default=True,
    help="TLS: never; always, with a checked certificate; or where it is offered, unchecked.",
)

password_option = click.option(
    "--password-stdin",
    "password",
    is_flag=True,
    callback=lambda _ctx, _option, given: _first_line() if given else None,
    help="Read the password from the first line of the standard input.",
)


def _first_line() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def split_host(text: str, default: int) -> tuple[str, int]:
    """Read "host", "host:port" or "[address]:port"; raise Failure."""
    match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d{1,5}))?", text)
    if not match or not 0 < int(match[2] or default) < 65536:
        raise Failure(f"{text!r} is no HOST[:PORT] (IPv6 in brackets)", os.EX_USAGE)
    return match[1].strip("[]"), int(match[2] or default)


def load_settings(config: Path | None) -> Loaded:
    """Read the settings; raise Failure with EX_CONFIG."""
    try:
        return load(config)
    except SettingsError as error:
        raise Failure(str(error), os.EX_CONFIG) from error


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command `settings` in place of --config."""

    @config_option
    @functools.wraps(command)
    def run(*args: Any, config: Path | None, **named: Any) -> Any:
        return command(*args, settings=load_settings(config).settings, **named)

    return run


def with_control(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command `control`, the running daemon, in place of --config."""

    @with_settings
    @functools.wraps(command)
    def run(*args: Any, settings: Settings, **named: Any) -> Any:
        return command(*args, control=Control(Path(settings.store.directory)), **named)

    return run


def together(*parts: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return one decorator for several, the outermost first: what commands of a kind have in common."""

    def apply(act: Callable[..., Any]) -> Callable[..., Any]:
        for part in reversed(parts):
            act = part(act)
        return act

    return apply
