"""What lasts of a mail: its row, the copies on folders, the deliveries on their way, the trace."""

from enum import StrEnum

import msgspec

from gatepost.model.envelope import TlsWish


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One received mail. `id` is the envelope's; header texts are decoded and cut to 512 characters."""

    id: str
    received: int  # epoch milliseconds
    size: int  # octets
    direction: str
    sender: str  # "" for the null sender
    client_ip: str
    helo: str
    message_id: str  # as in the header, with <>; "" when absent
    subject: str
    header_from: str
    header_to: str
    header_cc: str
    sent: int | None  # the Date header, epoch milliseconds
    spooled: bool = False  # the body is a file, not a row
    has_attachments: bool = False
    header_bcc: str = ""
    important: bool = False  # its sender marked it so

    # How it came in, for the Received field of the copies that go out.
    esmtp: bool = False
    tls: str | None = None
    login: str | None = None  # the address that signed in
    reverse: str = ""  # the client's name, if it leads back to its address

    proofs: list[tuple[str, str]] = []  # the fields that tell what was proven of its sender
    arc: str = ""  # what its chain of ARC sets was worth: none, pass or fail; "": nobody looked
    blind: str = ""  # the blind copies that its author asked for, as a header would have them: for his eyes alone
    signer: str = ""  # the domain in From, where who sent it proved his right to it: DKIM keys of it sign
    tls_wish: TlsWish = TlsWish.NONE  # what its sender asks of TLS, wherever it goes
    smtputf8: bool = False  # it came with SMTPUTF8 (RFC 6531)


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A kept copy of a mail in a folder of one mailbox. `id` is given by the store."""

    id: int = 0
    mail_id: str
    mailbox: str  # the address key
    domain_id: int
    user_id: int | None
    folder: str  # verdict.Folder
    category: str  # verdict.Category name
    score: float
    infected: bool
    tag: str = ""  # the subject prefix that a delivered copy would carry
    reason: str = ""
    stored_at: int
    expires_at: int
    released_at: int | None = None
    seen: bool = False
    answered: bool = False
    held_for: list[str] = []  # of a mail that leaves: to whom a release sends it
    connection_id: int | None = None  # by which its sender wants it to leave
    group_id: int | None = None  # the group whose it is: of its address, which may be an account's next


class Relocation(msgspec.Struct, frozen=True, kw_only=True):
    """Copies on their way from an address that an account or a group had to the one that it has now.

    `upto` is the newest that goes along; what comes later is the next holder's. `id` is given by the store.
    """

    id: int = 0
    old: str  # both are address keys
    new: str
    upto: int


class State(StrEnum):
    """A delivery's state."""

    QUEUED = "queued"
    HELD = "held"  # by an administrator
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    DELETED = "deleted"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A mail on its way to one recipient. `due`, `expires`, `created` in epoch milliseconds."""

    id: int = 0
    mail_id: str
    recipient: str  # address text as it goes on the wire
    sender: str  # "" for the null sender
    domain_id: int | None = None  # whose mail it is, for scope
    platform_id: int | None = None  # None: it leaves
    connection_id: int | None = None  # by which it leaves; None: the default relay, or MX
    via: str = ""  # the server that an administrator chose instead, as `route.Hop.text` spells it
    state: State = State.QUEUED
    attempts: int = 0
    due: int
    expires: int
    created: int
    group: str | None = None  # through which the recipient is reached: its author learns no members (rules 9)
    tag: str = ""  # subject prefix
    marks: list[tuple[str, str]] = []  # the fields that tell the mail server and its user what was found
    release: bool = False  # from a folder: no second one while this is on its way (contract A65)
    smtputf8: bool = False
    proven: bool = False  # the sender is known to be true: a DSN may go to him (rules 8)
    notify: str = ""  # comma-separated, RFC 3461
    orcpt: str | None = None
    ret: str | None = None
    envid: str | None = None
    delay_told: bool = False
    last_reply: str | None = None
    remote_id: str | None = None  # the next hop's queue id
    done_at: int | None = None
    log: list["Attempt"] = []


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A destination to which nothing goes until it is resumed; `since` in epoch milliseconds."""

    id: int = 0
    destination: str
    since: int


class StsPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A domain's MTA-STS policy as it was fetched; good until `expires`, epoch milliseconds (RFC 8461 3.2)."""

    id: int = 0
    domain: str
    policy_id: str  # of the TXT record that told of it
    mode: str
    mx: list[str]
    expires: int
    max_age: int = 0  # seconds, as the policy says


class Letter(msgspec.Struct, frozen=True):
    """A kept copy with the mail it is of, and its newest release: what folder lists show."""

    copy: Copy
    message: Message
    release: Delivery | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try to deliver: when (epoch milliseconds), where, how it was answered, how long it took (milliseconds)."""

    at: int
    hop: str  # host[ip]:port
    tls: str | None = None
    code: int = 0  # 0: no answer
    reply: str = ""
    took: int = 0
    skipped: list[str] = []  # hosts that its sender's REQUIRETLS ruled out before, and why


class TraceEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that befell a mail. `mailbox` None is common to all recipients (rules 12)."""

    at: int  # epoch milliseconds
    event: str  # the field's names: received, scanned, verdict, queued, attempt, delivered ...
    mailbox: str | None = None
    text: str = ""
    data: dict[str, object] = {}
