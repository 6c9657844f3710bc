"""Real mails in real envelopes, for filters to look at."""

import asyncio
import base64
import hashlib
import io
import zipfile
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.filters.registry import Filter, Tools, load
from gatepost.message.mail import Mail, Opener
from gatepost.model.address import Address
from gatepost.model.auth import AuthResults
from gatepost.model.envelope import Body, Client, Direction, Envelope, Recipient
from gatepost.model.policy import default_policy
from gatepost.model.rules import AttachmentAction, AttachmentRule, CheckType, RuleSet
from gatepost.model.verdict import Finding
from gatepost.settings import Dns, Filters, Limits

NOW = 1_763_985_600_000
HEADER = b"From: ann@a.test\r\nTo: bob@ours.test\r\nDate: Mon, 24 Nov 2025 12:00:00 +0000\r\nSubject: x\r\n"
BOB = Address("bob", "ours.test")
NO_RULES = RuleSet()


def recipient(rules: RuleSet = NO_RULES, **members: Any) -> Recipient:
    policy = default_policy(1, "ours.test", quarantine=True, retention=False, archive=False)
    return Recipient(**{"address": BOB, "given": BOB, "domain_id": 1, "policy": policy, "rules": rules, **members})


def mail(data: bytes, auth: AuthResults | None = None, *, on_trial: bool = False, **members: Any) -> Mail:
    usual = {
        "id": "0" * 32,
        "client": Client(ip="192.0.2.1"),
        "sender": Address("ann", "a.test"),
        "recipients": (recipient(),),
        "direction": Direction.IN,
        "received": NOW,
    }
    made = Mail(Envelope(**{**usual, **members}), Body(size=len(data), data=data), OPENER, on_trial=on_trial)
    made.auth = auth
    return made


RUNNER = asyncio.Runner()  # one loop for all tests, so that the worker that opens archives is started once
OPENER = Opener(Filters(), Limits())
T = TypeVar("T")


def run(asked: Coroutine[Any, Any, T]) -> T:
    return RUNNER.run(asked)


TOOLS = Tools(limits=Limits(), resolver=Resolver(Dns(servers=["127.0.0.1:1"], timeout=0.05), wall_clock))


def make(name: str, **options: Any) -> Filter:
    """Return one filter with its options, made as the settings make it."""
    return next(one for one in load(Filters(options={name: options}), TOOLS) if one.name == name)


def ask(one: Filter, data: bytes, rules: RuleSet = NO_RULES, **members: Any) -> list[Finding]:
    async def examine() -> list[Finding]:
        return list(await one.examine(mail(data, **members), recipient(rules)))

    return run(examine())


def symbols(findings: Sequence[Finding]) -> list[str]:
    return [finding.symbol for finding in findings]


def plain(text: bytes = b"Hello\r\n", header: bytes = b"") -> bytes:
    return HEADER + header + b"\r\n" + text


def mixed(*parts: bytes) -> bytes:
    """Return a multipart/mixed mail; each part is its header and body."""
    limit = b"limit" + hashlib.sha256(b"".join(parts)).hexdigest()[:20].encode()
    head = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="' + limit + b'"\r\n\r\n'
    return (
        HEADER + head + b"".join(b"--" + limit + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + limit + b"--\r\n"
    )


def attached(data: bytes, disposition: str = "attachment", kind: str = "application/octet-stream") -> bytes:
    head = f"Content-Type: {kind}\r\nContent-Disposition: {disposition}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + base64.encodebytes(data).replace(b"\n", b"\r\n")


def zipped(**members: bytes) -> bytes:
    """Return a zip archive; `__` in a name stands for its dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


def attachment_rules(*rules: tuple[str, str, str]) -> RuleSet:
    """Return a rule set of (action, check type, expression), the first one first."""
    return RuleSet(
        attachments=tuple(
            AttachmentRule(
                id=number,
                domain_id=1,
                action=AttachmentAction(action),
                check_type=CheckType(kind),
                filter=expression,
                priority=number,
                created_date=NOW,
            )
            for number, (action, kind, expression) in enumerate(rules, 1)
        )
    )
