"""Options: named settings of tenants, their types and scopes, and the list of those that Gatepost knows."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from gatepost.model.tenant import Language


class OptionType(StrEnum):
    """What an option's value is; every value is a text (contract A17)."""

    STRING = "STRING"
    TEXT = "TEXT"
    COLOR = "COLOR"
    EMAIL = "EMAIL"
    BOOL = "BOOL"
    URL = "URL"
    LIST = "LIST"
    DOC = "DOC"
    TIMEZONE = "TIMEZONE"
    HOST = "HOST"
    CREDENTIALS = "CREDENTIALS"
    PASSWORD = "PASSWORD"  # noqa: S105 - the name of a type


SECRET = frozenset({OptionType.CREDENTIALS, OptionType.PASSWORD})
"""Types whose values are sealed and never shown."""


class Scope(StrEnum):
    """Where a value can be set, the widest first. A URL is what the customers of one broker share."""

    PLATFORM = "PLATFORM"
    URL = "URL"
    CUSTOMER = "CUSTOMER"
    DOMAIN = "DOMAIN"
    USER = "USER"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One option: `scopes` is where it can be set, `default` what holds where no value is.

    `restricted` ones only a sysadmin may set. `values` are the only ones allowed, None: any that the type takes, and
    that are numbers where they must be; with `least` single words of so many ASCII characters at least.
    """

    name: str
    type: OptionType
    scopes: frozenset[Scope]
    restricted: bool = False
    group: str | None = None
    values: tuple[str, ...] | None = None
    number: bool = False
    least: int = 0
    description: str | None = None
    default: str | None = None


class OptionValue(msgspec.Struct, frozen=True, kw_only=True):
    """An option's value at one scope; `owner_id` is the scope's row, 0 for the platform. Secret ones are sealed."""

    id: int = 0
    scope: Scope
    owner_id: int
    name: str
    value: str


def _per_hour(name: str, lowest: Scope, text: str) -> Definition:
    """A limit of what is handed in within an hour; the platform's is a setting."""
    scopes = {Scope.URL, Scope.CUSTOMER, Scope.DOMAIN, lowest}
    text = f"{text} within an hour; 0: any number. Without it [outgoing] {name.lower()} holds."
    return Definition(
        name=name,
        type=OptionType.STRING,
        scopes=frozenset(scopes),
        restricted=True,
        group="SENDING",
        description=text,
        number=True,
    )


CONNECTOR_SECRET = "CONNECTOR_SECRET"  # noqa: S105 - the name of an option

_WIDE = frozenset({Scope.PLATFORM, Scope.URL, Scope.CUSTOMER, Scope.DOMAIN})

DEFINITIONS: Mapping[str, Definition] = {
    definition.name: definition
    for definition in (
        # The contract shows these two without a description; docs/options.md has it.
        Definition(
            name="APP_URL",
            type=OptionType.HOST,
            scopes=frozenset({Scope.PLATFORM, Scope.CUSTOMER, Scope.DOMAIN}),
            restricted=True,
        ),
        Definition(name="DOMAIN_ADMIN", type=OptionType.EMAIL, scopes=frozenset({Scope.PLATFORM, Scope.DOMAIN})),
        Definition(
            name="PRODUCT_NAME",
            type=OptionType.STRING,
            scopes=_WIDE,
            group="BRAND",
            description="What the product is called in mails and pages.",
            default="Gatepost",
        ),
        Definition(
            name="NOTIFICATION_SENDER",
            type=OptionType.EMAIL,
            scopes=_WIDE,
            restricted=True,
            group="NOTIFICATIONS",
            description="The sender of mails to users; without it they come from postmaster at this gateway's name.",
        ),
        Definition(
            name="NOTIFICATION_NAME",
            type=OptionType.STRING,
            scopes=_WIDE,
            group="NOTIFICATIONS",
            description="The name beside the sender's address; without it the product's name.",
        ),
        Definition(
            name="LANGUAGE",
            type=OptionType.LIST,
            scopes=_WIDE,
            group="NOTIFICATIONS",
            values=tuple(language.value for language in Language),
            description="The language of mails and pages for who has none of his own.",
            default=Language.EN.value,
        ),
        Definition(
            name="TIMEZONE",
            type=OptionType.TIMEZONE,
            scopes=frozenset(Scope),
            group="NOTIFICATIONS",
            description="The time zone of dates in mails and pages.",
            default="UTC",
        ),
        Definition(
            name=CONNECTOR_SECRET,
            type=OptionType.PASSWORD,
            scopes=frozenset({Scope.DOMAIN}),
            group="SENDING",
            least=16,
            description="With this text in X-Gatepost-Connector a mail from an outgoing provider is the domain's.",
        ),
        _per_hour("USER_MAILS_PER_HOUR", Scope.USER, "How many mails an account may hand in"),
        _per_hour("USER_RECIPIENTS_PER_HOUR", Scope.USER, "To how many recipients an account may write"),
        _per_hour("DOMAIN_MAILS_PER_HOUR", Scope.DOMAIN, "How many mails a domain may hand in, all accounts together"),
        _per_hour("DOMAIN_RECIPIENTS_PER_HOUR", Scope.DOMAIN, "To how many recipients a domain may write in all"),
    )
}
"""Every option, in the order in which lists show them."""
