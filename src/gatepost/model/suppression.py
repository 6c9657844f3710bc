"""Addresses that mail of a domain does not go to any more, since they bounced, complained, or somebody said so."""

from enum import StrEnum

import msgspec


class Cause(StrEnum):
    """Why an address is left out."""

    BOUNCE = "BOUNCE"  # its server said for good that there is no such address
    COMPLAINT = "COMPLAINT"  # its reader called a mail spam
    MANUAL = "MANUAL"


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """One address for one domain's mail. Dates are epoch milliseconds; without an end it stays until it is removed."""

    id: int = 0
    domain_id: int
    address: str  # the address key
    cause: Cause
    reason: str = ""
    mail_id: str = ""  # the mail that bounced or was complained of
    created_at: int
    expires_at: int | None = None

    @property
    def words(self) -> str:
        """Why there is no mail to the address, for who would send some."""
        why = {
            Cause.BOUNCE: "mail to it bounced",
            Cause.COMPLAINT: "its reader complained",
            Cause.MANUAL: "listed by hand",
        }
        return f"suppressed, {why[self.cause]}{': ' if self.reason else ''}{self.reason}"
