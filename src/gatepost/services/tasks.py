"""Tasks: mails to a mailbox user that an administrator asks for (contract 5.12, A49); each has its own permission."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gatepost.model.access import Caller
from gatepost.model.tenant import User
from gatepost.services.access import require
from gatepost.services.accounts import find_user, has_service, is_local, nearest, usable
from gatepost.services.letters import RESET, SIGN_IN, WELCOME, Kind, Letters
from gatepost.services.records import Line, unprocessable
from gatepost.services.tickets import LONGEST
from gatepost.services.training import Training
from gatepost.store.store import Store

Hours = Annotated[int, Meta(ge=1, le=LONGEST)]


class Recipient(msgspec.Struct, kw_only=True):
    """Whom to mail."""

    recipient: Line


class LinkRecipient(Recipient, kw_only=True):
    """Whom to mail, and how many hours the link works."""

    validity: Hours | None = None


class SendWelcome(msgspec.Struct, kw_only=True, tag_field="command", tag="send_welcome_mail"):
    """Mails what the service is, with a link to set a password."""

    params: Recipient


class SendToken(msgspec.Struct, kw_only=True, tag_field="command", tag="send_token_mail"):
    """Mails a link that signs in; 24 hours unless said otherwise."""

    params: LinkRecipient


class SendPasswordReset(msgspec.Struct, kw_only=True, tag_field="command", tag="send_password_reset_mail"):
    """Mails a link to set a new password; 6 hours unless said otherwise."""

    params: LinkRecipient


class KeptMail(Recipient, kw_only=True):
    """A mail that is kept for the recipient: in which folder, and its id, ours or the Message-ID."""

    folder: Line
    id: Line


class TrainSpam(msgspec.Struct, kw_only=True, tag_field="command", tag="send_spamfight_spam_mail"):
    """Teaches the classifier that a kept mail is spam."""

    params: KeptMail


class TrainClean(msgspec.Struct, kw_only=True, tag_field="command", tag="send_spamfight_clean_mail"):
    """Teaches the classifier that a kept mail is clean."""

    params: KeptMail


class Remediate(msgspec.Struct, kw_only=True, tag_field="command", tag="remediate_message"):
    """Not offered yet."""

    params: dict[str, Any]


Task = SendWelcome | SendToken | SendPasswordReset | TrainSpam | TrainClean | Remediate


class Tasks:
    """Runs the commands. All that may refuse one is checked before it is accepted; its mail is queued by then."""

    def __init__(self, store: Store, letters: Letters, training: Training) -> None:
        self._store = store
        self._letters = letters
        self._training = training

    async def run(self, caller: Caller, task: Task, base: str) -> None:
        """Run a command; `base` as in `Letters.send`.

        Raises UNPROCESSABLE for a recipient that has no account, or whose account is not fit for it, and for a mail
        that is not kept.
        """
        match task:
            case SendWelcome(params=given):
                await self._mail(caller, "TASK_WELCOME", WELCOME, given.recipient, base, None)
            case SendToken(params=given):
                await self._mail(caller, "TASK_TOKEN", SIGN_IN, given.recipient, base, given.validity)
            case SendPasswordReset(params=given):
                await self._mail(caller, "TASK_PASSWORD_RESET", RESET, given.recipient, base, given.validity)
            case TrainSpam(params=given) | TrainClean(params=given):
                spam = isinstance(task, TrainSpam)
                await self._training.learn_kept(caller, given.recipient, given.folder, given.id, spam=spam)
            case Remediate():
                require(caller, "TASK_REMEDIATE")
                raise unprocessable("Remediation is not offered yet.", "/command")
        told = msgspec.to_builtins(task)
        about = find_user(self._store.reader, told["params"]["recipient"])
        await self._store.record(told["command"], about or "mailbox", after=told["params"])

    async def _mail(
        self, caller: Caller, permission: str, kind: Kind, recipient: str, base: str, hours: int | None
    ) -> None:
        reader = self._store.reader
        user = nearest(reader, recipient)
        require(caller, permission, user)
        if not isinstance(user, User):
            raise unprocessable("There is no such account.", "/params/recipient")
        if not usable(reader, user):
            raise unprocessable("The account is not in service.", "/params/recipient")
        if kind is RESET and not is_local(reader, user):
            raise unprocessable("The password of the account is kept elsewhere.", "/params/recipient")
        if kind is SIGN_IN and not has_service(reader, user):
            raise unprocessable("The account has neither quarantine nor retention nor archive.", "/params/recipient")
        await self._letters.send(kind, user, base, hours)
