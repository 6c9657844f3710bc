"""An envelope: who brought a mail, from whom, for whom; and the body it came with."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from gatepost.model.address import Address
from gatepost.model.policy import Policy
from gatepost.model.rules import RuleSet
from gatepost.model.tenant import Provider


class Role(StrEnum):
    """What a listener is for."""

    MX = "mx"
    SUBMISSION = "submission"
    TRUSTED = "trusted"


class Direction(StrEnum):
    IN = "in"
    OUT = "out"


class TlsWish(StrEnum):
    """What a mail's sender asks of TLS on its further way (RFC 8689)."""

    NONE = ""  # nothing: the receiving domain says
    REQUIRED = "required"  # REQUIRETLS: proven hosts that pass it on, or none
    WAIVED = "waived"  # TLS-Required: No: better in plain text than not at all


class Login(msgspec.Struct, frozen=True, array_like=True):
    """Who signed in on a session: a mailbox user. By what: a token, else the password that `mark` remembers."""

    user_id: int
    domain_id: int
    email: str
    mark: str = ""
    token_id: int | None = None


class Client(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The peer of a session. `ip` is the real client's (from PROXY where a named peer sent it)."""

    ip: str
    port: int = 0
    helo: str = ""
    esmtp: bool = False
    tls: str | None = None  # "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
    login: Login | None = None
    listener: str = ""
    role: Role = Role.MX
    session: str = ""  # id for the log
    providers: tuple[Provider, ...] = ()  # in whose networks it is, of those that MAIL FROM's domain sends through

    @property
    def is_stranger(self) -> bool:
        """Nobody signed in, and no network of ours: what it says of itself has to be proven."""
        return self.role is Role.MX and self.login is None

    @property
    def is_ours(self) -> bool:
        """Somebody of ours may answer for what it sends: an account, or a domain that names its network or provider."""
        return not self.is_stranger or bool(self.providers)


class Dsn(msgspec.Struct, frozen=True, array_like=True):
    """What RFC 3461 lets a sender ask for each recipient; `notify` is empty when nothing was said."""

    notify: frozenset[str] = frozenset()  # NEVER, or of SUCCESS FAILURE DELAY
    orcpt: str | None = None  # as given, xtext kept
    ret: str | None = None  # FULL or HDRS
    envid: str | None = None  # as given, xtext kept


class Recipient(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One address of an envelope, resolved.

    `address` is where the mail goes; `given` is what the client named (an alias domain's or a group's address).
    `domain_id` None means the address lies outside (relayed mail). `user_id` None: an address without account.
    `platform_id` None: by MX or smarthost. `policy` None only for a relayed recipient (the sender's policy judges).
    """

    address: Address
    given: Address
    domain_id: int | None = None
    domain: str | None = None
    user_id: int | None = None
    policy: Policy | None = None
    platform_id: int | None = None
    rules: RuleSet = RuleSet()
    provision: bool = False  # make the account at the first CLEAN mail (rules 7)
    group: str | None = None  # the group it came through
    group_dsn: Dsn = Dsn()  # what the sender asked of that group
    clean_only: bool = False  # an outside member of a group gets only CLEAN mail (rules 9)
    sender_verify: bool = False  # who sent the mail must be who he says (senderVerifyOn of the domain and the user)
    sender: str | None = None  # an SRS sender, where the envelope's can't be used
    dsn: Dsn = Dsn()

    @property
    def leaves(self) -> bool:
        """Mail to it goes outside on somebody's account; that to a group's outside member goes on the group's."""
        return self.platform_id is None and not self.clean_only

    @property
    def goes_back(self) -> bool:
        """A bounce to an address of ours that stands for a foreign sender (SRS) leaves for him, on nobody's account."""
        return self.leaves and self.given != self.address


def gather(known: dict[str, Recipient], more: Iterable[Recipient]) -> None:
    """Add recipients to those known by address key: nobody twice, and who is named himself not through a group."""
    for each in more:
        key = each.address.key
        before = known.get(key)
        if before is None or (before.group is not None and each.group is None):
            known[key] = each


def direction_of(client: Client, recipients: tuple[Recipient, ...]) -> Direction:
    """A mail goes out when one of ours sends it to somebody outside; a group's outside members don't make it so.

    Nor do bounces that go back, unless a network of ours sends them.
    """
    leaves = any(each.leaves and not (each.goes_back and client.is_stranger) for each in recipients)
    return Direction.OUT if client.is_ours and leaves else Direction.IN


class Envelope(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A mail's envelope. `id` is 32 hex characters, ordered by time; `received` in epoch milliseconds."""

    id: str
    client: Client
    sender: Address | None  # None: the null sender
    recipients: tuple[Recipient, ...]
    direction: Direction
    received: int
    smtputf8: bool = False
    eightbit: bool = False  # BODY=8BITMIME was said
    requires_tls: bool = False  # REQUIRETLS was said
    dsn: Dsn = Dsn()  # RET and ENVID
    blind: str = ""  # blind copies, as a header would have them
    connection_id: int | None = None  # by which its sender wants it to leave
    trial: bool = False  # it is judged and nothing more: whoever counts or learns leaves it out


class Body(msgspec.Struct, frozen=True):
    """A mail's bytes as received, CRLF lines, dots unstuffed: in memory, or a spooled file when large.

    `start`: of a file, its first octets as long as they are at hand; b"" when they must be read.
    """

    size: int
    data: bytes | None = None
    path: str | None = None
    start: bytes = b""
