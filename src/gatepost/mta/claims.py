"""Whom a mail is said to be from: what sender rules are held against."""

import msgspec

from gatepost.message.anatomy import Anatomy
from gatepost.message.authors import authors, shown
from gatepost.message.mail import Mail
from gatepost.model.address import Address


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """MAIL FROM and the addresses of From, and all that From shows."""

    senders: tuple[Address, ...] = ()
    shown: tuple[str, ...] = ()


def claims_of(mail: Mail, anatomy: Anatomy | None) -> Claims:
    """Return the claims of a mail; `anatomy` None: it could not be opened, so nobody knows its authors."""
    envelope = (mail.envelope.sender,) if mail.envelope.sender else ()
    return Claims((*envelope, *authors(anatomy)), shown(anatomy)) if anatomy else Claims(envelope)
