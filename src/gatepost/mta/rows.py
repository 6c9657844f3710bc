"""The rows that a judged mail becomes: its message, the copies on folders, the deliveries."""

from collections.abc import Sequence
from random import Random
from typing import Any

from gatepost.message.anatomy import Summary
from gatepost.model.address import Address
from gatepost.model.auth import AuthResults
from gatepost.model.envelope import Body, Client, Direction, Envelope, Recipient, TlsWish
from gatepost.model.stored import Copy, Delivery, Message
from gatepost.model.verdict import Action, Category, Finding, Keep, Verdict

_chance = Random()  # noqa: S311 - ids must differ, they guard nothing


def fresh_id(now: int) -> str:
    """Return the id of a mail: 32 hex characters, ordered by `now` (epoch milliseconds) as in RFC 9562 version 7."""
    return f"{now & 0xFFFFFFFFFFFF:012x}{_chance.getrandbits(80):020x}"


def facts(envelope: Envelope, body: Body) -> dict[str, Any]:
    """Return what the trace tells of how a mail came in."""
    return {**origin(envelope.client, envelope.sender), "size": body.size}


def origin(client: Client, sender: Address | None) -> dict[str, Any]:
    """Return what the trace tells of who handed a mail in, or tried to."""
    told: dict[str, Any] = {
        "client": client.ip,
        "helo": client.helo,
        "sender": sender.text if sender else "",
        "listener": client.role.value,
    }
    if client.tls:
        told["tls"] = client.tls
    if client.login:
        told["login"] = client.login.email
    if client.providers:
        told["provider"] = ", ".join(each.name for each in client.providers)
    return told


def message_row(
    envelope: Envelope,
    body: Body,
    summary: Summary,
    signer: str,
    auth: AuthResults | None = None,
    proofs: Sequence[tuple[str, str]] = (),
) -> Message:
    """Return the row of a received mail; `signer` is the domain that may sign it.

    `proofs` are the fields that tell what `auth` holds.
    """
    return Message(
        id=envelope.id,
        received=envelope.received,
        size=body.size,
        direction=envelope.direction.value,
        sender=envelope.sender.text if envelope.sender else "",
        client_ip=envelope.client.ip,
        helo=envelope.client.helo,
        message_id=summary.message_id or _given_id(envelope),
        subject=summary.subject,
        header_from=summary.from_,
        header_to=summary.to,
        header_cc=summary.cc,
        sent=summary.sent,
        spooled=body.path is not None,
        has_attachments=summary.has_attachments,
        header_bcc=summary.bcc,
        important=summary.important,
        esmtp=envelope.client.esmtp,
        tls=envelope.client.tls,
        login=envelope.client.login.email if envelope.client.login else None,
        reverse=auth.iprev.name if auth else "",
        proofs=list(proofs),
        arc=auth.arc.result.value if auth else "",
        blind=envelope.blind,
        signer=signer,
        tls_wish=_tls_wish(envelope, summary),
        smtputf8=envelope.smtputf8,
    )


def _given_id(envelope: Envelope) -> str:
    """Return the Message-ID that mail of who signed in is given where it has none (RFC 6409 8.3)."""
    login = envelope.client.login
    return f"<{envelope.id}@{login.email.rpartition('@')[2]}>" if login else ""


def _tls_wish(envelope: Envelope, summary: Summary) -> TlsWish:
    """REQUIRETLS goes before the field (RFC 8689 4.1)."""
    if envelope.requires_tls:
        return TlsWish.REQUIRED
    return TlsWish.WAIVED if summary.tls_waived else TlsWish.NONE


def copy_row(
    envelope: Envelope, recipient: Recipient, verdict: Verdict, keep: Keep, author: Address | None = None
) -> Copy:
    """Return the copy that one `keep` asks for: sent mail is its sender's, a group's outside members' the group's.

    `author` is of ours, under his domain's own name: what leaves with the null sender is his.
    """
    login = envelope.client.login
    held = verdict.action is Action.HOLD
    mailbox, user_id = recipient.address.key, recipient.user_id
    if recipient.clean_only:
        mailbox = recipient.group or mailbox
    elif recipient.leaves:
        mailbox, user_id = (login.email, login.user_id) if login else (_paying(envelope, recipient, author), None)
    return Copy(
        mail_id=envelope.id,
        mailbox=mailbox,
        domain_id=recipient.domain_id or 0,
        user_id=user_id,
        folder=keep.folder.value,
        category=verdict.category.name,
        score=verdict.score,
        infected=any(finding.category is Category.VIRUS for finding in verdict.because),
        tag=" ".join(verdict.tags),
        reason=reason(verdict),
        stored_at=envelope.received,
        expires_at=keep.until,
        held_for=[recipient.address.text] if recipient.clean_only or (recipient.leaves and held) else [],
        connection_id=envelope.connection_id if recipient.leaves and held else None,
    )


def _paying(envelope: Envelope, recipient: Recipient, author: Address | None) -> str:
    """Return the mailbox of the domain on whose account a mail leaves that nobody signed in for.

    It must be one that can be looked into: never the recipient's, nor one under another name of the domain.
    """
    domain = recipient.domain or ""
    if envelope.sender is not None:
        return Address(envelope.sender.local, domain).key
    return author.key if author is not None and author.domain == domain else f"postmaster@{domain}"


def vouched(envelope: Envelope, *, proven: bool) -> bool:
    """Tell whether the sender is known to be true: who signed in, or sends from a network of ours, or is `proven`.

    The null sender is nobody who could be told; of what the gateway itself says none need be.
    """
    if envelope.sender is None and envelope.client.ip:
        return False
    return proven or envelope.direction is Direction.OUT or envelope.client.login is not None


def delivery(
    envelope: Envelope,
    recipient: Recipient,
    verdict: Verdict,
    *,
    life: int,
    proven: bool = False,
    connection_id: int | None = None,
    marks: Sequence[tuple[str, str]] = (),
) -> Delivery:
    """Return the way to one recipient; `life` in seconds, `marks` the fields that tell what was found.

    Of a group nobody is told: a report would name a member (rules 9).
    """
    now = envelope.received
    sender = envelope.sender.text if envelope.sender else ""
    return Delivery(
        mail_id=envelope.id,
        recipient=recipient.address.text,
        sender=sender if recipient.sender is None else recipient.sender,
        domain_id=recipient.domain_id,
        platform_id=recipient.platform_id,
        connection_id=connection_id,
        due=now,
        expires=now + life * 1000,
        created=now,
        tag=" ".join(verdict.tags),
        marks=list(marks),
        smtputf8=envelope.smtputf8,
        group=recipient.group,
        proven=recipient.group is None and vouched(envelope, proven=proven),
        notify=",".join(sorted(recipient.dsn.notify)),
        orcpt=recipient.dsn.orcpt,
        ret="HDRS" if envelope.requires_tls else envelope.dsn.ret,  # RFC 8689 5
        envid=envelope.dsn.envid,
    )


def release(
    copy: Copy,
    message: Message,
    to: Address,
    platform_id: int | None,
    *,
    now: int,
    life: int,
    connection_id: int | None = None,
) -> Delivery:
    """Return the way of a kept mail to `to`: the same bytes and sender, without the tag; `life` in seconds.

    Without a platform it leaves, on the account of who had sent it, by a connection or the default way.
    """
    return Delivery(
        mail_id=copy.mail_id,
        recipient=to.text,
        sender=message.sender,
        domain_id=copy.domain_id,
        platform_id=platform_id,
        connection_id=connection_id,
        due=now,
        expires=now + life * 1000,
        created=now,
        release=True,
        smtputf8=message.smtputf8 or to.needs_smtputf8,
        proven=platform_id is None,
    )


def deciding(verdict: Verdict) -> Finding | None:
    """Return the finding by which a verdict fell, None where points did it."""
    return next((finding for finding in verdict.because if finding.category is verdict.category), None)


def reason(verdict: Verdict) -> str:
    """Return the one sentence that says why, fit for a stranger."""
    found = deciding(verdict)
    if found is not None:
        return found.reason
    scored = sorted(verdict.because, key=lambda finding: finding.score, reverse=True)
    return scored[0].reason if scored else ""
