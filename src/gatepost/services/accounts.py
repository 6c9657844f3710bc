"""Accounts that sign in, administrators and mailbox users alike: found by their login, asked how they sign in."""

import hashlib
import re

from gatepost.model.access import Admin, Caller
from gatepost.model.address import BadAddress, parse_address
from gatepost.model.policy import Policy
from gatepost.model.query import Query, eq
from gatepost.model.route import Platform
from gatepost.model.tenant import Domain, DomainStatus, User, UserStatus
from gatepost.services.platforms import AuthType, default_of
from gatepost.services.records import LINE
from gatepost.store.store import Reader

Account = Admin | User


def named(reader: Reader, login: str) -> list[Account]:
    """Return the usable accounts that a login or mail address names: an administrator, a mailbox user, or both.

    The address of several administrators names none of them.
    """
    if not re.match(LINE, login):
        return []
    found = [find_admin(reader, login), find_user(reader, login)]
    return [account for account in found if account is not None and usable(reader, account)]


def find_admin(reader: Reader, login: str) -> Admin | None:
    """Return the administrator of a login, or else of a mail address."""
    if admin := reader.first(Admin, eq("login", login)):
        return admin
    admins = reader.find(Admin, Query(where=eq("email", login), limit=2)).items
    return admins[0] if len(admins) == 1 and "@" in login else None


def find_user(reader: Reader, login: str) -> User | None:
    """Return the account of an address, which may stand under an alias of its domain."""
    address = proper_address(reader, login)
    return reader.first(User, eq("email", address)) if address else None


def nearest(reader: Reader, login: str) -> User | Domain | None:
    """Return the account of an address, else the domain here that it lies in.

    Who has a right on the domain may know that there is no such account.
    """
    try:
        return find_user(reader, login) or reader.domain(parse_address(login).domain)
    except BadAddress:
        return None


def proper_address(reader: Reader, login: str) -> str:
    """Return the address under which an account of that login is kept, be there one or not; "" for no address here."""
    try:
        address = parse_address(login)
    except BadAddress:
        return ""
    local = address.key.rpartition("@")[0]
    domain = reader.domain(address.domain)
    return f"{local}@{domain.name}" if domain else ""


def owner(reader: Reader, admin_id: int | None, user_id: int | None) -> Account | None:
    """Return the usable account that a token or ticket belongs to."""
    account = reader.get(Admin, admin_id) if admin_id is not None else reader.get(User, user_id or 0)
    return account if account is not None and usable(reader, account) else None


def owned(account: Account) -> dict[str, int]:
    """Return the member by which a token or ticket names its account."""
    return {"admin_id" if isinstance(account, Admin) else "user_id": account.id}


def acts_for(caller: Caller, account: Account) -> bool:
    """Tell whether the caller is that very account."""
    return (caller.admin_id if isinstance(account, Admin) else caller.user_id) == account.id


def usable(reader: Reader, account: Account) -> bool:
    """Tell whether the account is enabled, and its domain with it."""
    if isinstance(account, Admin):
        return account.enabled
    domain = reader.get(Domain, account.domain_id)
    return account.status is UserStatus.ENABLED and domain is not None and domain.status is DomainStatus.ENABLED


def is_local(reader: Reader, account: Account) -> bool:
    """Tell whether the password of the account is kept here, not with its domain's own server (rules 29)."""
    if isinstance(account, Admin):
        return True
    if account.auth_id is not None:
        platform = reader.get(Platform, account.auth_id)
    else:
        platform = default_of(reader.find(Platform, Query(where=eq("domain_id", account.domain_id))).items)
    return platform is None or platform.auth_type in (None, AuthType.LOCAL)


def login_of(account: Account) -> str:
    return account.login if isinstance(account, Admin) else account.email


def has_totp(account: Account) -> bool:
    """Tell whether the account signs in with a second factor."""
    return account.totp if isinstance(account, Admin) else account.mfa_type == "TOTP"


def mark(account: Account) -> str:
    """Return what a proof remembers of the password, so that it fails once that was changed."""
    return mark_of(account.password_hash)


def mark_of(password_hash: str | None) -> str:
    return hashlib.sha256(f"{password_hash}".encode()).hexdigest()[:16]


def name_of(account: Account) -> str:
    """Return the name beside the address; "" where none is known."""
    if isinstance(account, Admin):
        return account.display_name or ""
    return " ".join(filter(None, (account.firstname, account.lastname)))


def has_service(reader: Reader, user: User) -> bool:
    """Tell whether the policy of a mailbox keeps anything: quarantine, retention or archive."""
    domain = reader.get(Domain, user.domain_id)
    policy = reader.get(Policy, user.policy_id or (domain.policy_id if domain else 0))
    return policy is not None and (policy.quarantine or policy.retention or policy.archive)
