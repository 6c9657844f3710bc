"""The master key: sealing what must come out in clear again (passwords of platforms, private keys)."""

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from gatepost.store.blobs import sync_folder
from gatepost.store.health import StoreProblem

SEALED = "gAAAAA"
"""How what is sealed begins: a Fernet token, version 128, of this age."""


class Unsealable(ValueError):
    """The text was not sealed with a key of this store."""


def is_sealed(value: object) -> bool:
    """Tell whether a value is what `seal` returns."""
    return isinstance(value, str) and value.startswith(SEALED)


class Secrets:
    """The keys of one file, one a line: the first seals, all unseal, so that a new key is put on top."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._first = keys[0]
        self.fingerprints = [fingerprint(key) for key in keys]

    def seal(self, text: str) -> str:
        """Return the text encrypted and authenticated, as ASCII."""
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Return a sealed text in clear; raise Unsealable."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except (InvalidToken, UnicodeError) as error:
            raise Unsealable("the text was not sealed with a key of this store") from error

    def renew(self, sealed: str) -> str:
        """Return the text sealed anew with the first key; raise Unsealable."""
        return self.seal(self.unseal(sealed))

    def derive(self, purpose: str) -> bytes:
        """Return a key of 64 octets for one purpose; it changes when a new key is put on top."""
        return hmac.digest(self._first, f"gatepost {purpose}".encode(), hashlib.sha512)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self.fingerprints)})"


def fingerprint(key: bytes) -> str:
    """Return what may be told of a key: enough to know it again."""
    return hashlib.sha256(b"gatepost master key\0" + key).hexdigest()[:32]


def open_secrets(path: Path, known: list[str]) -> Secrets:
    """Read the key file; without `known` fingerprints (a fresh store) a missing one is made.

    Raises StoreProblem where the file is missing or unreadable, or lacks a key that the store was sealed with. A file
    that is there is never changed.
    """
    if not known and not path.exists():
        _create(path)
    secrets = Secrets(read_keys(path))
    if not set(known) <= set(secrets.fingerprints):
        raise StoreProblem(path, "is not the key that this store was sealed with", StoreProblem.CONFIG)
    return secrets


def read_keys(path: Path) -> list[bytes]:
    """Return the keys of a file; raise StoreProblem where there are none to read."""
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    except FileNotFoundError:
        text = "the master key is missing; put it back (the store's secrets can't be read without it)"
        raise StoreProblem(path, text, StoreProblem.CONFIG) from None
    except OSError as error:
        raise StoreProblem.of(path, error, "the master key can't be read") from error
    try:
        for line in lines:
            Fernet(line)
    except ValueError:
        lines = []
    if not lines:
        raise StoreProblem(path, "holds no valid master key", StoreProblem.CONFIG)
    return lines


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Write keys, whole and durable before they bear their name, for the owner of the file that was there.

    Raises OSError, and then leaves that as it was.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # half of one, from a start that was killed
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        if path.exists():
            os.fchown(handle, path.stat().st_uid, path.stat().st_gid)
        file.write(b"".join(key + b"\n" for key in keys))
        file.flush()
        os.fsync(handle)
    new.rename(path)
    sync_folder(path.parent)


def _create(path: Path) -> None:
    """Make a key, before anything is sealed with it."""
    try:
        write_keys(path, [Fernet.generate_key()])
    except OSError as error:
        raise StoreProblem(path, f"the master key can't be made: {error.strerror}", StoreProblem.DENIED) from error
