"""What lasts of mail that is being written or was handed in: uploaded files, windows, keys of requests."""

import msgspec

HIGH, NORMAL, LOW = 1, 3, 5
"""How urgent a mail is, as X-Priority counts."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a user uploaded for a mail to come. `id` is 32 random hex characters; times in epoch milliseconds."""

    id: str
    user_id: int
    name: str  # safe as a file name
    type: str
    size: int
    created_at: int
    expires_at: int


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that waits in a compose window; `digest` is that of its one-time address, `draft` is sealed JSON."""

    id: int = 0
    user_id: int
    digest: str
    draft: str
    expires_at: int


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that was handed in under an idempotency key; `key` and `digest` (of the request) are SHA-256 in hex."""

    id: int = 0
    account: str
    key: str
    digest: str
    mail_id: str
    expires_at: int
