"""What lasts of mail that is being written or was handed in: files, windows, scheduled mail, keys."""

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


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a mail links to; `id` was the upload's, and is its address.

    It goes at `expires_at`, which each fetch puts off unless a day was `fixed`. Times in epoch milliseconds.
    """

    id: str
    user_id: int
    name: str
    type: str
    size: int
    password_hash: str | None = None
    created_at: int
    expires_at: int
    fixed: bool = False
    fetched_at: int | None = None


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that its user sends later; `id` is the mail's, `draft` is sealed JSON. Times in epoch milliseconds."""

    id: str
    user_id: int
    draft: str
    subject: str
    asked: int  # when it is to go
    due: int  # when it is tried next
    created_at: int


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
