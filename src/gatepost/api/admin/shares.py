"""Shared files: what a user's mails link to, listed and withdrawn."""

import msgspec

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.values import Id, Millis
from gatepost.services.records import show
from gatepost.services.shares import Shares

Who = Id | str


class SharedFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A file that mails link to; `protected` by a password. Each fetch puts `expiresAt` off unless it is `fixed`."""

    id: str
    name: str
    type: str
    size: int
    protected: bool
    created_at: Millis
    expires_at: Millis
    fixed: bool
    fetched_at: Millis | None


@endpoint("GET", "/users/{userIdOrEmail}/shares", permission="MAIL_SEND", addition=True)
async def list_shares(shares: Shares, caller: Caller, user_id_or_email: Who) -> list[SharedFile]:
    """List the files that a user shares by links, the oldest first."""
    found = await shares.list(caller, user_id_or_email)
    return [show(SharedFile, each, protected=each.password_hash is not None) for each in found]


@endpoint("DELETE", "/users/{userIdOrEmail}/shares/{shareId}", permission="MAIL_SEND", addition=True)
async def withdraw_share(shares: Shares, caller: Caller, user_id_or_email: Who, share_id: str) -> None:
    """Share a file no longer."""
    await shares.withdraw(caller, user_id_or_email, share_id)
