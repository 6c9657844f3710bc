"""The sample domain of `gatepost dev`, its rules, and the mails that show what each of them does."""

import io
import secrets
import zipfile
from collections.abc import Iterator

import msgspec

from gatepost.message.compose import Attachment, Letter, Party, compose

DOMAIN = "sample.test"
USER = f"alice@{DOMAIN}"
FRIEND = "friend@elsewhere.test"
BLOCKED = "pest@elsewhere.test"
BAD_HOST = "phish.test"

# Put together here, so that no virus scanner takes this file for what it is about.
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

SERVED = {
    "name": DOMAIN,
    "status": "ENABLED",
    "defaultLanguage": "EN",
    "quarantine": True,
    "retention": True,
    "archive": False,
    "autoProvisioningOn": True,
    "senderVerifyOn": False,  # the senders of samples are made up, and DNS would say so
}
SENDER_RULES = [{"value": BLOCKED, "owner": DOMAIN, "type": "BLOCK", "description": "sample: never liked him"}]
ATTACHMENT_RULES = [
    {"action": "DENY", "checkType": check, "filter": r"\.(exe|scr|js|vbs)$", "description": "sample: programs"}
    for check in ("FILENAME", "ARCHIVE_FILENAME")
]
URI_RULES = [{"action": "BLACKLIST_URI_HOST", "filter": BAD_HOST, "description": "sample: steals passwords"}]


class Sample(msgspec.Struct, frozen=True):
    """A mail to try, and in a few words what is special about it."""

    about: str
    sender: str
    mail: bytes


def samples(now: int) -> Iterator[Sample]:
    """Yield the sample mails; `now` in epoch milliseconds."""
    program = Attachment("holiday.zip", _zipped("photos/beach.jpg.exe", b"MZ not really"), "application/zip")
    virus = Attachment("invoice.txt", EICAR.encode(), "text/plain")
    link = f"Please confirm your account at http://login.{BAD_HOST}/now\n"
    yield _sample("a clean mail", "Lunch on Friday?", "Shall we meet at noon?\n", now)
    yield _sample("from a blocked sender", "Me again", "Read this.\n", now, sender=BLOCKED)
    yield _sample("an .exe inside a zip", "Photos", "Have a look.\n", now, attachments=[program])
    yield _sample("a link to a bad host", "Your account", link, now)
    yield _sample("spam (GTUBE)", "Earn money", f"{GTUBE}\n", now)
    yield _sample("a virus (EICAR)", "Invoice", "See the attachment.\n", now, attachments=[virus])


def _sample(
    about: str, subject: str, text: str, now: int, *, sender: str = FRIEND, attachments: list[Attachment] | None = None
) -> Sample:
    letter = Letter(
        sender=Party(sender),
        to=[Party(USER)],
        subject=subject,
        text=text,
        attachments=attachments or [],
        date=now,
        message_id=f"{secrets.token_hex(8)}@elsewhere.test",
    )
    return Sample(about, sender, compose(letter))


def _zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()
