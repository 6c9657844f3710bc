"""Mails of each sort for the long ways of these tests, each with a Message-ID of its own."""

import io
import zipfile
from email.message import EmailMessage

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def letter(
    message_id: str,
    *,
    sender: str = "ada@world.example",
    to: str = "bob@served.example",
    subject: str = "Hello",
    text: str = "Hello Bob,\n\nhow are you?\n.\n..\nAda\n",
    attach: tuple[str, bytes] | None = None,
) -> bytes:
    """Return a mail as it goes on the wire, dots not yet doubled."""
    made = EmailMessage()
    made["Date"] = "Fri, 20 Nov 2026 09:00:00 +0000"
    made["From"] = sender
    made["To"] = to
    made["Subject"] = subject
    made["Message-ID"] = message_id
    made.set_content(text)
    if attach:
        made.add_attachment(attach[1], "application", "octet-stream", filename=attach[0])
    return made.as_bytes().replace(b"\n", b"\r\n")


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()
