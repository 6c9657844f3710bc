"""Sign-in, and what an account does with its own credentials (additions, contract F1)."""

from gatepost.api.endpoint import Call, endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.services.recovery import PasswordChange, Recovery, Reset, ResetWish
from gatepost.services.signin import Credentials, Session, SignIn
from gatepost.services.totp import Code, Enrolled, Enrolment, Totp


@endpoint(
    "POST",
    "/login",
    public=True,
    addition=True,
    status=200,
    problems=(Kind.UNAUTHENTICATED, Kind.TOO_MANY),
)
async def login(sign_in: SignIn, call: Call, body: Credentials) -> Session:
    """Sign in with a password, and a code where the account has TOTP; the token lasts an hour."""
    return await sign_in.login(body, call.ip)


@endpoint(
    "POST",
    "/account/totp",
    addition=True,
    status=200,
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def enrol_totp(totp: Totp, caller: Caller, body: Enrolment) -> Enrolled:
    """Make a TOTP secret for the caller's own account; it counts once it is confirmed."""
    return await totp.enrol(caller, body)


@endpoint("POST", "/account/totp/confirm", addition=True, problems=(Kind.CONFLICT, Kind.UNPROCESSABLE))
async def confirm_totp(totp: Totp, caller: Caller, body: Code) -> None:
    """Switch TOTP on for the caller's own account with a first code of the enrolled secret."""
    await totp.confirm(caller, body)


@endpoint("POST", "/account/password", addition=True, problems=(Kind.CONFLICT, Kind.UNPROCESSABLE))
async def change_password(recovery: Recovery, caller: Caller, body: PasswordChange) -> None:
    """Change the caller's own password; session tokens got with the old one end."""
    await recovery.change(caller, body)


@endpoint("POST", "/password-resets", public=True, addition=True, status=202, problems=(Kind.TOO_MANY,))
async def ask_password_reset(recovery: Recovery, call: Call, body: ResetWish) -> None:
    """Mail a link to set a new password to the account that is named, if there is one."""
    recovery.ask(body, call.ip, call.base)


@endpoint(
    "POST",
    "/password-resets/confirm",
    public=True,
    addition=True,
    problems=(Kind.NOT_FOUND, Kind.UNPROCESSABLE, Kind.TOO_MANY),
)
async def reset_password(recovery: Recovery, call: Call, body: Reset) -> None:
    """Set a password with the token of a mailed link, which is used up."""
    await recovery.reset(body, call.ip)
