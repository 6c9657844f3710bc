"""Reads the settings: defaults <- file <- conf.d <- GATEPOST_SECTION__KEY, decoded into one frozen Settings."""

import ipaddress
import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gatepost.model.address import domain_name, parse_address
from gatepost.model.choices import choices, likely
from gatepost.model.dkim import SELECTOR
from gatepost.settings import Filters, Settings, SettingsError

DEFAULT_PATH = Path("/etc/gatepost/gatepost.toml")

FILE_KEYS = frozenset(("key_file", "ca_file", "sums_file", "skip_file"))  # that name a file; of others the text is read


Variable = tuple[list[str], Any, str]
"""Of a variable the key that it gives, as its parts, the value, and its name."""


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and of each key that was given ("section.key") the file or variable that gave it.

    `environment`: all that variables gave.
    """

    settings: Settings
    origin: dict[str, str]
    environment: list[Variable]


def load(path: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read the settings; raise SettingsError with the file or variable and the key at fault.

    Without `path`, /etc/gatepost/gatepost.toml is read where it exists. `conf.d/*.toml` beside the file is laid over
    it in the order of names, then GATEPOST_SECTION__KEY (TOML values, or plain text; *_FILE reads a file).
    """
    return _load(path, _environment(environ))


def load_again(path: str | Path | None, loaded: Loaded) -> Loaded:
    """Read the files anew, as `load` does; what the environment gave stays as it was."""
    return _load(path, loaded.environment)


def _load(path: str | Path | None, environment: Iterable[Variable]) -> Loaded:
    tree: dict[str, Any] = {}
    origin: dict[str, str] = {}
    base, given = Path.cwd(), None if path is None else Path(path)
    for source in _files(given):
        base = (given or source).resolve().parent
        _lay(tree, _read(source), "", str(source), origin)
    variables = list(environment)
    for key, value, name in variables:
        _set(tree, key, value, name, origin)
    return Loaded(_decode(tree, base, origin), origin, variables)


def _files(path: Path | None) -> Iterator[Path]:
    main = path or DEFAULT_PATH
    if main.is_file():
        yield main
    elif path is not None:
        raise SettingsError(f"{path}: {'no file' if path.exists() else 'no such file'}")
    yield from _laid_over(main.parent / "conf.d")


def _laid_over(folder: Path) -> list[Path]:
    """Return the files of a conf.d in order; one that can't be listed is an error, where glob would find nothing."""
    try:
        return sorted(path for path in folder.iterdir() if path.match("*.toml"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SettingsError(f"{folder}: {error.strerror}") from error


def _read(source: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{source}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{source}: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{source}: nested too deeply") from error


def _lay(tree: dict[str, Any], over: dict[str, Any], at: str, name: str, origin: dict[str, str]) -> None:
    for key, value in over.items():
        path = f"{at}.{key}" if at else key
        if isinstance(value, dict):
            below = tree.setdefault(key, {})
            if not isinstance(below, dict):
                raise SettingsError(f"{name}: {path} is a table here and a value elsewhere")
            _lay(below, value, path, name, origin)
        else:
            tree[key] = value
            origin[path] = name


def _environment(environ: Mapping[str, str]) -> Iterator[Variable]:
    for name in sorted(environ):
        match = re.fullmatch(r"GATEPOST_([A-Z][A-Z0-9]*)__([A-Z0-9_]+)", name)
        if not match:
            continue
        text = environ[name]
        keys = [match[1].lower(), *match[2].lower().split("__")]
        if keys[-1].endswith("_file") and keys[-1] not in FILE_KEYS:
            keys[-1] = keys[-1].removesuffix("_file")
            try:
                text = Path(text).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{name}: {error}") from error
        yield keys, _value(text), name


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _set(tree: dict[str, Any], keys: list[str], value: Any, name: str, origin: dict[str, str]) -> None:
    node = tree
    for key in keys[:-1]:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise SettingsError(f"{name}: {key} is no table")
    node[keys[-1]] = value
    origin[".".join(keys)] = name


def _decode(tree: dict[str, Any], base: Path, origin: dict[str, str]) -> Settings:
    tree = dict(tree)
    filters = dict(tree.get("filters", {}))
    own = {key: filters.pop(key) for key in list(filters) if isinstance(filters[key], dict)}
    tree["filters"] = {**filters, "options": own}
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_blame(str(error), origin)) from error
    for key in filters:
        if key not in Filters.__struct_fields__:
            raise SettingsError(_blame(f"Object contains unknown field `{key}` - at `$.filters`", origin))
    for key, why in _misread(settings):
        raise SettingsError(f"{_source(key, origin)}: {key}: {why}")
    if "store" in tree and "directory" in tree["store"]:
        directory = str(base / Path(settings.store.directory).expanduser())
        settings = msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, directory=directory))
    return settings


def _blame(text: str, origin: dict[str, str]) -> str:
    where = re.search(r"at `\$\.?([^`]*)`", text)
    path = where[1] if where else ""
    unknown = re.search(r"unknown field `([^`]+)`", text)
    if unknown:
        path = f"{path}.{unknown[1]}".strip(".")
    if not where and not unknown:
        return text
    if unknown:
        said = f"unknown key{likely(Settings, where[1] if where else '', unknown[1])}"
    else:
        said = text.split(" - at ")[0] + (choices(Settings, path) if "enum value" in text else "")
    plain = re.sub(r"\[[^\]]*\]", "", path)
    return f"{_source(plain, origin)}: {path}: {said}"


def _source(path: str, origin: dict[str, str]) -> str:
    """Return the file or variable that gave a key, or the list or table that it stands in."""
    given = (name for key, name in origin.items() if f"{key}.".startswith(f"{path}.") or path.startswith(f"{key}."))
    return next(given, "settings")


def check(settings: Settings) -> None:
    """Raise SettingsError, naming the key, for a text that is not what its key takes: a name, an address, a URL."""
    for key, why in _misread(settings):
        raise SettingsError(f"{key}: {why}")


def _misread(settings: Settings) -> Iterator[tuple[str, str]]:
    for key, texts, read in _texts(settings):
        for text in texts:
            try:
                read(text)
            except ValueError as error:
                why = str(error)
                yield key, why if repr(text) in why else f"{text!r}: {why}"
    listening = [*(listener.listen for listener in settings.smtp.listener), *settings.http.listen]
    for text, times in Counter(listening).items():
        if times > 1 and not text.endswith(":0"):  # port 0 is another one each time
            key = "http.listen" if text in settings.http.listen else "smtp.listener"
            yield key, f"{text}: {times} listeners ask for this address"


def _texts(settings: Settings) -> Iterator[tuple[str, Sequence[str], Callable[[str], object]]]:
    """Each key whose text has a form of its own, what it says, and what raises ValueError for another form."""
    yield "smtp.hostname", _given(settings.smtp.hostname), _host
    yield "smtp.postmaster", _given(settings.smtp.postmaster), parse_address
    yield "smtp.gateway_names", settings.smtp.gateway_names, _name_or_ip
    yield "http.base_url", _given(settings.http.base_url), _url
    yield "http.trusted_proxies", settings.http.trusted_proxies, _peers
    yield "relay.source_address", _given(settings.relay.source_address), ipaddress.ip_address
    yield "store.directory", [settings.store.directory], _folder
    yield "dkim.selector", [settings.dkim.selector], _selector
    yield "tls_reports.sender", _given(settings.tls_reports.sender), parse_address
    yield "email.sender", _given(settings.email.sender), parse_address
    yield "outgoing.report_to", _given(settings.outgoing.report_to), parse_address


def _given(text: str) -> list[str]:
    return [text] if text else []


def _host(text: str) -> None:
    """A name as it goes on the wire, or an address literal."""
    if text.startswith("["):
        parse_address(f"postmaster@{text}")
    elif domain_name(text) != text.lower():
        raise ValueError(f"write {domain_name(text)}")


def _name_or_ip(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        domain_name(text)


def _peers(text: str) -> None:
    if text != "*":
        ipaddress.ip_network(text)


def _folder(text: str) -> None:
    if not text or "\0" in text:
        raise ValueError("that names no folder")
    try:
        Path(text).expanduser()
    except RuntimeError as error:  # nobody has that home
        raise ValueError(str(error)) from error


def _selector(text: str) -> None:
    if not SELECTOR.match(text):
        raise ValueError("letters, digits, hyphens and dots make a selector")


def _url(text: str) -> None:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.port == 0 or url.query or url.fragment:
        raise ValueError("expected http:// or https://, a host, and nothing behind the path")
