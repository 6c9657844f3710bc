"""The mails of the fault tests: a number says what a mail is, who it is for, and what must become of it."""

from gatepost.filters.score import GTUBE

SENDER = "ada@world.example"
BOB, ANN, BARE = "bob@served.example", "ann@served.example", "x@bare.example"
ROB = "rob@served.example"  # what bob is called after a `rename`
CUT = 4096  # octets from which a body is a file, in the stores of these tests
LARGE = 3 * CUT


def held(number: int) -> bool:
    """Tell whether the mail is spam, which bob's policy keeps in quarantine."""
    return number % 4 == 0


def recipients(number: int) -> tuple[str, ...]:
    """Return who it is for: bob and ann keep what they get for some days, for x nothing is kept."""
    return ((BOB,), (BARE,), (BOB, ANN), (BOB, BARE))[number % 4]


def name(number: int) -> str:
    return f"<{number}@faults.example>"


def raw(number: int) -> bytes:
    """Return the octets of mail `number`; every third is large enough to be spooled."""
    lines = [
        b"From: Ada <ada@world.example>",
        b"To: bob@served.example",
        b"Date: Fri, 20 Nov 2026 09:00:00 +0000",
        f"Message-ID: {name(number)}".encode(),
        f"Subject: mail {number}".encode(),
        b"",
        GTUBE if held(number) else f"This is mail {number}.".encode(),
        b"." * 3,
    ]
    if number % 3 == 0:
        lines += [b"%07d " % number * 8] * (LARGE // 64)
    return b"\r\n".join(lines) + b"\r\n"
