"""What is said to SMTP clients: the one table from problems and verdicts to codes, and how a reply is written."""

from gatepost.model.problem import Kind, Problem
from gatepost.model.verdict import Category

LINE_MAX = 512  # RFC 5321 4.5.3.1.5, with the CRLF
_QUOTES = str.maketrans("\u201c\u201d\u2018\u2019", "\"\"''")


def printable(text: str, limit: int = LINE_MAX) -> str:
    """Return `text` as printable ASCII, quotes made plain, everything else escaped, of at most `limit` characters."""
    if not (text.isascii() and text.isprintable()):
        text = text.translate(_QUOTES).encode("unicode_escape").decode("ascii")
    return text if len(text) <= limit else text[: limit - 3] + "..."


class Reply:
    """One reply of one line. `enhanced` may be empty (RFC 2034: greetings, 3xx); `id` ends the line, uncut."""

    __slots__ = ("code", "wire")

    def __init__(self, code: int, enhanced: str, text: str, id: str = "") -> None:
        head = f"{code} {enhanced} " if enhanced else f"{code} "
        tail = f" id={id}" if id else ""
        self.code = code
        self.wire = f"{head}{printable(text, LINE_MAX - 2 - len(head) - len(tail))}{tail}\r\n".encode("ascii")

    @property
    def text(self) -> str:
        return self.wire[:-2].decode("ascii")

    @property
    def refuses(self) -> bool:
        return self.code >= 400

    def __repr__(self) -> str:
        return f"Reply({self.text!r})"


class Refusal(Exception):
    """Ends a command with a reply; `final` closes the connection behind it."""

    def __init__(self, reply: Reply, *, final: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.final = final


# What a problem below is called in SMTP (RFC 5321 4.2.2, RFC 3463).
PROBLEMS: dict[Kind, tuple[int, str]] = {
    Kind.MALFORMED: (501, "5.5.4"),
    Kind.UNAUTHENTICATED: (535, "5.7.8"),
    Kind.FORBIDDEN: (550, "5.7.1"),
    Kind.NOT_FOUND: (550, "5.1.1"),
    Kind.CONFLICT: (451, "4.3.0"),
    Kind.PRECONDITION: (550, "5.7.1"),
    Kind.UNPROCESSABLE: (550, "5.7.1"),
    Kind.TOO_LARGE: (552, "5.3.4"),
    Kind.TOO_MANY: (454, "4.7.0"),
    Kind.NOT_ACCEPTABLE: (555, "5.5.4"),
    Kind.UNSUPPORTED: (555, "5.5.4"),
    Kind.FULL: (452, "4.3.1"),
    Kind.UNAVAILABLE: (451, "4.3.0"),
    Kind.RELAYING_DENIED: (550, "5.7.1"),
    Kind.UNKNOWN_USER: (550, "5.1.1"),
    Kind.DISABLED_USER: (550, "5.2.1"),
    Kind.DISABLED_DOMAIN: (550, "5.7.1"),
    Kind.PENDING_DOMAIN: (450, "4.2.1"),
    Kind.DELETED_DOMAIN: (550, "5.1.2"),
    Kind.POLICY_REFUSED: (550, "5.7.1"),
    Kind.UNVERIFIED: (451, "4.4.1"),
    Kind.SENDER_REFUSED: (553, "5.7.1"),
    Kind.NULL_MX: (550, "5.7.27"),
    Kind.SENDER_UNSURE: (451, "4.7.24"),
    Kind.BAD_ADDRESS: (501, "5.1.3"),
    Kind.NEEDS_SMTPUTF8: (553, "5.6.7"),
    Kind.LOOP: (554, "5.4.6"),
    Kind.SLOWED: (450, "4.7.1"),
    Kind.SUPPRESSED: (550, "5.1.1"),
    Kind.SPLIT: (452, "4.5.3"),
}

# How a mail is refused after its data, by the case that decided.
VERDICTS: dict[Category, tuple[int, str]] = {
    Category.VIRUS: (554, "5.7.0"),
    Category.BAD_ATTACHMENT: (554, "5.7.1"),
    Category.BLOCKED: (550, "5.7.1"),
    Category.SPAM: (554, "5.7.1"),
    Category.ADVERT: (554, "5.7.1"),
    Category.OVERSIZE: (552, "5.3.4"),
    Category.BAD_HEADERS: (554, "5.6.0"),
    Category.BAD_ENCODING: (554, "5.6.0"),
    Category.SENDER_VERIFY: (550, "5.7.26"),
}
REFUSED = (554, "5.7.1")  # a refusal for which no category has its own code


def of(problem: Problem) -> Reply:
    """Return the reply that tells a client of a problem."""
    return Reply(*PROBLEMS[problem.kind], problem.detail)


def accepted(mail_id: str) -> Reply:
    return Reply(250, "2.0.0", f"Ok: queued as {mail_id}")


def rejected(category: Category, reason: str, mail_id: str, kind: Kind | None = None) -> Reply:
    return Reply(*(PROBLEMS[kind] if kind else VERDICTS.get(category, REFUSED)), reason, mail_id)


def deferred(reason: str, mail_id: str, kind: Kind | None = None) -> Reply:
    return Reply(*(PROBLEMS[kind] if kind else (451, "4.7.1")), reason, mail_id)


OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
BYE = Reply(221, "2.0.0", "Bye")
GO_ON = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
START_TLS = Reply(220, "2.0.0", "Ready to start TLS")
SIGNED_IN = Reply(235, "2.7.0", "Authentication successful")
CANNOT_VERIFY = Reply(252, "2.5.0", "Cannot verify, but will take mail and try")
COMMANDS = Reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY STARTTLS AUTH QUIT; see RFC 5321")

LINE_TOO_LONG = Reply(500, "5.5.2", "line too long")
BARE_NEWLINE = Reply(500, "5.5.2", "command lines end with CR LF")
NUL_IN_COMMAND = Reply(501, "5.5.2", "NUL in command")
NOT_UTF8 = Reply(501, "5.5.2", "the command is no valid UTF-8")
UNKNOWN = Reply(500, "5.5.1", "command not recognised")
OFF = Reply(502, "5.5.1", "command not available")
NOT_SMTP = Reply(502, "5.7.0", "this is an SMTP server")
OUT_OF_SYNC = Reply(554, "5.5.1", "synchronization error")
NO_ARGUMENT = Reply(501, "5.5.2", "this command takes no argument")
NEEDS_ARGUMENT = Reply(501, "5.5.4", "an argument is missing")
NEEDS_NAME = Reply(501, "5.0.0", "your host name is missing")
BAD_NAME = Reply(501, "5.5.4", "your host name is malformed")
HELLO_FIRST = Reply(503, "5.5.1", "send EHLO first")
MAIL_FIRST = Reply(503, "5.5.1", "send MAIL first")
RCPT_FIRST = Reply(503, "5.5.1", "send RCPT first")
NESTED = Reply(503, "5.5.1", "a mail is under way already; send RSET to drop it")
MAIL_SYNTAX = Reply(501, "5.5.4", "syntax: MAIL FROM:<address> [parameters]")
RCPT_SYNTAX = Reply(501, "5.5.4", "syntax: RCPT TO:<address> [parameters]")
NO_RECIPIENT = Reply(501, "5.1.3", "the recipient's address is empty")
NO_OPTIONS = Reply(555, "5.5.4", "parameters need EHLO")
NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "the address needs SMTPUTF8")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "too many recipients")
SPLIT = Reply(452, "4.5.3", "send this recipient a copy of its own")
NO_TLS = Reply(502, "5.5.1", "TLS is not available")
SIGN_IN_OVER = Reply(421, "4.7.0", "your sign-in holds no longer; closing")
TOO_MANY_GUESSES = Reply(421, "4.7.0", "too many failed sign-ins; closing")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is active already")
NEEDS_TLS = Reply(530, "5.7.0", "send STARTTLS first")
REQUIRETLS_NEEDS_TLS = Reply(530, "5.7.10", "REQUIRETLS needs TLS here too")
NEEDS_AUTH = Reply(530, "5.7.0", "sign in first")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "send STARTTLS before you sign in")
AUTH_ALREADY = Reply(503, "5.5.1", "you are signed in already")
AUTH_IN_MAIL = Reply(503, "5.5.1", "not within a mail")
AUTH_UNKNOWN = Reply(504, "5.5.4", "this mechanism is not offered")
AUTH_GIVEN_UP = Reply(501, "5.5.2", "sign-in cancelled")
AUTH_MALFORMED = Reply(501, "5.5.2", "malformed response")
AUTH_WRONG = Reply(535, "5.7.8", "The login or the password is wrong.")

TOO_BIG = Reply(552, "5.3.4", "the mail is too big")
BARE_IN_DATA = Reply(550, "5.5.2", "bare CR, LF or NUL not allowed")
BODY_LINE_TOO_LONG = Reply(554, "5.6.0", "line too long")
LOOPING = Reply(554, "5.4.6", "too many Received headers: the mail is looping")
NO_SPACE = Reply(452, "4.3.1", "no space for mail now; try later")
LOCAL_ERROR = Reply(451, "4.3.0", "local error; try later")

BROKEN = Reply(421, "4.3.0", "local error; closing")
STOPPING = Reply(421, "4.3.2", "shutting down; try later")
CLOSED = Reply(421, "4.3.2", "not taking mail now; try later")
FULL_HOUSE = Reply(421, "4.3.2", "too many connections; try later")
TOO_MANY_OF_YOU = Reply(421, "4.7.0", "too many connections from your address; try later")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors; closing")
TOO_IDLE = Reply(421, "4.4.2", "idle for too long; closing")
TOO_SLOW = Reply(421, "4.4.2", "data comes too slowly; closing")
TOO_LONG_HERE = Reply(421, "4.4.2", "this session lasts too long; closing")
NO_PROXY = Reply(500, "5.5.2", "a PROXY header is required")
