"""Roles, and the one question of rights: does what is held reach an object (semantics 1, F3)."""

from collections.abc import Iterable

import msgspec

from gatepost.model.access import ACTS, PERMISSIONS, RESOURCES, Reach
from gatepost.model.tenant import Broker, Customer, Domain, User

NOWHERE = Reach()

SYSADMIN_ALONE = frozenset({"POLICIES_WRITE", "DKIM_WRITE"})
"""What the contract keeps for sysadmins: nobody else holds it, whatever he was granted."""

OWN = frozenset(
    {"USERS_READ", "MAILS_READ", "MAIL_CONTENT", "MAIL_SEND", "QUARANTINE_RELEASE", "RULES_READ", "RULES_WRITE"}
)
"""What the owner of a mailbox may do with it, unless his domain says otherwise."""

END_USERS = OWN | frozenset(
    {"MAILS_WRITE", "OPTIONS_READ", "OPTIONS_WRITE", "VIRUS_RELEASE", "TASK_TOKEN", "TASK_SPAMFIGHT", "TASK_REMEDIATE"}
)
"""What a domain may let its end users do; each with his own mailbox alone."""

_READ = frozenset(f"{resource}_READ" for resource in RESOURCES)
_HELPDESK = frozenset(
    {
        "DOMAINS_READ",
        "POLICIES_READ",
        "USERS_READ",
        "GROUPS_READ",
        "RULES_READ",
        "HEALTH_READ",
        "MAILS_READ",
        "QUEUE_READ",
        "QUARANTINE_RELEASE",
        "TASK_WELCOME",
        "TASK_TOKEN",
        "TASK_PASSWORD_RESET",
    }
)
_CUSTOMER = PERMISSIONS - SYSADMIN_ALONE - {"AUDIT_WRITE"}
_DOMAIN = _CUSTOMER - {"ROUTES_READ", "ROUTES_WRITE"}


class Predefined(msgspec.Struct, frozen=True):
    """A role that is there for every node of the tree; `why` says for whom."""

    name: str
    permissions: frozenset[str]
    why: str


SYSADMIN = "SYSADMIN"
USER = "USER"

ROLES = {
    role.name: role
    for role in (
        Predefined(SYSADMIN, PERMISSIONS, "Everything, and alone what the contract keeps for sysadmins."),
        Predefined("BROKER_ADMIN", _CUSTOMER, "A broker with his customers and their domains."),
        Predefined("CUSTOMER_ADMIN", _CUSTOMER, "A customer with his domains and routes."),
        Predefined("DOMAIN_ADMIN", _DOMAIN, "A domain with its accounts, mails and administrators."),
        Predefined("HELPDESK", _HELPDESK, "Metadata, release of what is no virus, messages to users; no content."),
        Predefined("READER", _READ, "Looks at everything but the content of mails, changes nothing."),
        Predefined(USER, OWN, "The owner of a mailbox."),
    )
}
"""The predefined roles by name. SYSADMIN is given on the platform alone, USER to a domain's end users alone."""

ORDER = [*(f"{resource}_{verb}" for resource in RESOURCES for verb in ("READ", "WRITE")), *ACTS]
"""Every permission, as lists show them."""

MEANING = {
    "ADMINS_READ": "See the administrators of a node and what they hold there.",
    "ADMINS_WRITE": "Change and delete accounts of administrators who hold no more than oneself.",
    "DOMAINS_READ": "See brokers, customers and domains, with their platforms and further names.",
    "DOMAINS_WRITE": "Change them; make and remove customers of a broker. Domains are made and deleted by sysadmins.",
    "POLICIES_READ": "See policies.",
    "POLICIES_WRITE": "Make, change and delete policies; sysadmins alone.",
    "USERS_READ": "See mailbox users.",
    "USERS_WRITE": "Make, change and delete mailbox users; set their passwords.",
    "GROUPS_READ": "See groups.",
    "GROUPS_WRITE": "Make, change and delete groups.",
    "RULES_READ": "See sender, attachment and link rules.",
    "RULES_WRITE": "Make, change and delete them.",
    "DKIM_READ": "See DKIM records.",
    "DKIM_WRITE": "Make, replace and delete DKIM keys; sysadmins alone.",
    "OPTIONS_READ": "See options; on the platform: the metrics too.",
    "OPTIONS_WRITE": "Set options that are not restricted.",
    "HEALTH_READ": "See the results of health checks.",
    "HEALTH_WRITE": "Run health checks.",
    "MAILS_READ": "See folders, the metadata of mails and their traces.",
    "MAILS_WRITE": "Change and remove kept mails.",
    "QUEUE_READ": "See what is on its way.",
    "QUEUE_WRITE": "Hold, release, retry and delete deliveries.",
    "ROUTES_READ": "See a customer's mail connections.",
    "ROUTES_WRITE": "Change them; read their passwords.",
    "AUDIT_READ": "See who changed what.",
    "AUDIT_WRITE": "Nothing: the audit log is only ever added to.",
    "GRANT": "Give what one holds oneself to administrators and end users, and take it back.",
    "IMPERSONATE": "Make a temporary token for a mailbox user.",
    "MAIL_CONTENT": "Read bodies, sources and attachments; others than the owner state their reason.",
    "MAIL_SEND": "Send mail as the mailbox, by SMTP and by the API.",
    "QUARANTINE_RELEASE": "Send a kept mail on to its mailbox.",
    "VIRUS_RELEASE": "Release or open what is infected.",
    "TASK_WELCOME": "Have a welcome mail sent.",
    "TASK_TOKEN": "Have a mail with a sign-in link sent.",
    "TASK_PASSWORD_RESET": "Have a mail with a link to set a password sent.",
    "TASK_SPAMFIGHT": "Have the classifier learn from a mail, for the whole domain; so do releases of who holds it.",
    "TASK_REMEDIATE": "Have a delivered mail taken back.",
}
"""What each permission allows, in a line."""


def covers(reach: Reach, scope: object) -> bool:
    """Tell whether a permission that reaches so far is held on an object; None and the platform need it everywhere."""
    if reach.everywhere:
        return True
    match scope:
        case Broker():
            return scope.id in reach.brokers
        case Customer():
            return scope.id in reach.customers or scope.broker_id in reach.brokers
        case Domain():
            return scope.id in reach.domains or scope.customer_id in reach.customers
        case User():
            return scope.id in reach.users or scope.domain_id in reach.domains
    return False


def expand(names: Iterable[str], roles: Iterable[str] = (), own: Iterable[tuple[str, Iterable[str]]] = ()) -> set[str]:
    """Return the permissions that names and roles stand for; `own` are a domain's own roles. Unknown ones say nothing.

    What is kept for sysadmins is left out: they need no list.
    """
    known = {name: role.permissions for name, role in ROLES.items()} | {name: frozenset(of) for name, of in own}
    held = set(names).union(*(known.get(role, ()) for role in roles))
    return (held & PERMISSIONS) - SYSADMIN_ALONE


def ordered(permissions: Iterable[str]) -> list[str]:
    """Return permissions in the order of lists."""
    held = set(permissions)
    return [name for name in ORDER if name in held]
