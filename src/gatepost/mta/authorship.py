"""Who answers for a mail that a login sends, or that leaves: he must be its author (rules 10, 11)."""

from functools import partial

from gatepost.message.anatomy import Anatomy
from gatepost.message.authors import authors, claims
from gatepost.message.mail import Mail
from gatepost.model.address import Address
from gatepost.model.auth import Result
from gatepost.model.envelope import Direction, Envelope, Recipient, Role
from gatepost.model.verdict import Action, Category, Finding, Verdict
from gatepost.mta.directory import Directory
from gatepost.mta.keeping import Judged
from gatepost.mta.providers import Providers


def _not_his(action: Action, symbol: str, why: str) -> Verdict:
    finding = Finding(category=Category.BLOCKED, symbol=symbol, reason=why, by="intake")
    path = f"{why}: {'refused' if action is Action.REJECT else 'put off'}"
    return Verdict(action=action, category=Category.BLOCKED, score=0.0, because=(finding,), path=(path,))


MISALIGNED = _not_his(Action.REJECT, "FROM_MISALIGNED", "From or Sender is somebody else's")
UNPROVEN = _not_his(
    Action.REJECT,
    "PROVIDER_UNPROVEN",
    "the provider sends for many, and neither an aligned DKIM signature nor the domain's connector shows for whom",
)
_UNSURE = _not_his(
    Action.DEFER,
    "PROVIDER_UNSURE",
    "the provider sends for many, and whether an aligned DKIM signature shows for whom can't be found out now",
)


class Authorship:
    """Holds a mail's authors against who answers for it."""

    def __init__(self, directory: Directory, providers: Providers) -> None:
        self._directory = directory
        self._providers = providers

    def wrong(self, mail: Mail, recipient: Recipient, anatomy: Anatomy | None) -> Verdict | None:
        """Return why a mail may not go to a recipient on that account; None where it may.

        Who answers for it must be named in From too. A bounce to an address of ours that stands for a foreign sender
        goes back whoever wrote it. What is to leave through a provider must show besides that it is his, else it goes
        to nobody: inside it would pass for a mail of ours.
        """
        envelope, client = mail.envelope, mail.envelope.client
        needs_author = recipient.leaves and not recipient.goes_back
        if client.providers:
            needs_author = envelope.direction is Direction.OUT
        if client.login is None and not needs_author:
            return None
        if anatomy is not None and not self._authors(envelope, anatomy):
            return MISALIGNED
        return self._unproven(mail, anatomy) if client.providers else None

    def _unproven(self, mail: Mail, anatomy: Anatomy | None) -> Verdict | None:
        account = self._directory.may_relay(mail.envelope.client, mail.envelope.sender)
        proof = self._providers.proof(account.domain.id, mail.auth, anatomy) if account else Result.FAIL
        return {Result.PASS: None, Result.TEMPERROR: _UNSURE}.get(proof, UNPROVEN)

    def signer(self, envelope: Envelope, anatomy: Anatomy | None) -> str:
        """Return the domain of the author, "" unless one of ours sends it and may write as him (rules 28)."""
        ours = envelope.client.login is not None or envelope.direction is Direction.OUT
        found = self._authors(envelope, anatomy) if ours and anatomy is not None else []
        return found[0].domain if len(found) == 1 else ""

    def author(self, envelope: Envelope, anatomy: Anatomy | None) -> Address | None:
        """Return the first author of a mail with the null sender, by his domain's own name; None for none of ours."""
        first = next(iter(authors(anatomy)), None) if anatomy is not None and envelope.sender is None else None
        return self._directory.own_name(first) if first is not None else None

    def _authors(self, envelope: Envelope, anatomy: Anatomy) -> list[Address]:
        """Return whom From names, if the client may write as each of them, and who signed in as each in Sender, too."""
        written, sent = claims(anatomy), claims(anatomy, b"sender") if envelope.client.login else []
        if envelope.sender is None and envelope.client.role is Role.TRUSTED:
            written = [each and self._of_domain(each) for each in written]
        may = partial(self._directory.may_write, envelope.client, envelope.sender)
        found = [each for each in (*written, *sent) if each is not None and may(each)]
        return found[: len(written)] if len(found) == len(written) + len(sent) else []

    def _of_domain(self, author: Address) -> Address:
        """Return an author by the served domain that his host lies in: mail servers report in their own names."""
        labels = author.domain.split(".")
        names = (".".join(labels[at:]) for at in range(len(labels)))
        name = next((each for each in names if self._directory.served(each) is not None), None)
        return Address(author.local, name) if name else author


def is_unproven(envelope: Envelope, judged: Judged) -> bool:
    """Tell whether a mail out of a provider's network showed for nobody that it is his."""
    wrong = (*UNPROVEN.because, *MISALIGNED.because) if envelope.client.providers else ()
    return any(finding in wrong for finding in judged.verdict.because)
