"""The dialect of IQ Server's mail configuration: Basic sign-in, refusals as plain text (contract 12, B1 to B4)."""

from gatepost.api.credentials import bearer_or_basic
from gatepost.api.dialect import TEXT, Dialect, plain
from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.values import Given
from gatepost.services.mail_config import MailConfig, MailConfigs, MailConfigView

IQ_SERVER = Dialect(
    name="iq-mail",
    prove=bearer_or_basic,
    refusal=plain,
    challenge='Basic realm="Gatepost", charset="UTF-8"',
    schemes=("basic", "bearer"),
    error=str,
    media=TEXT,
    status={Kind.UNPROCESSABLE: 400},
    roots=("/api/v2/config",),
)
PATH = "/api/v2/config/mail"


@endpoint("GET", PATH, permission="SYSADMIN", dialect=IQ_SERVER, problems=(Kind.NOT_FOUND,))
async def get_mail_config(configs: MailConfigs, caller: Caller) -> MailConfigView:
    """Return the mail server that leaving mail goes by."""
    return await configs.get(caller)


@endpoint("PUT", PATH, permission="SYSADMIN", dialect=IQ_SERVER)
async def set_mail_config(configs: MailConfigs, caller: Caller, body: MailConfig) -> None:
    """Set the mail server that leaving mail goes by."""
    await configs.set(caller, body)


@endpoint("DELETE", PATH, permission="SYSADMIN", dialect=IQ_SERVER, problems=(Kind.NOT_FOUND,))
async def delete_mail_config(configs: MailConfigs, caller: Caller) -> None:
    """Remove the mail server; leaving mail goes as the settings say."""
    await configs.remove(caller)


@endpoint("POST", PATH + "/test/{recipientEmail}", permission="SYSADMIN", dialect=IQ_SERVER)
async def test_mail_config(configs: MailConfigs, caller: Caller, recipient_email: Given, body: MailConfig) -> None:
    """Send a test mail by settings that need not be saved; a refusal tells the server's words."""
    await configs.test(caller, recipient_email, body)
