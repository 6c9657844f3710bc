"""Options of domains and users (contract 5.5.4, 5.5.10, 5.5.14, 5.14.2, 5.14.6, 5.14.8), and of the scopes above."""

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.options import Scope
from gatepost.model.problem import Kind
from gatepost.model.query import Page
from gatepost.model.values import Id
from gatepost.services.options import PLATFORM, OptionAdd, OptionDef, Options, OptionView, Place


@endpoint("GET", "/options", addition=True)
async def list_options(options: Options, caller: Caller) -> Page[OptionDef]:
    """List the options that there are (contract A62)."""
    return await options.defined()


@endpoint("GET", "/platform/options", permission="OPTIONS_READ", addition=True)
async def list_platform_options(options: Options, caller: Caller) -> Page[OptionView]:
    """List the options of the platform."""
    return await options.find(caller, PLATFORM)


@endpoint("POST", "/platform/options", permission="OPTIONS_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True)
async def set_platform_option(options: Options, caller: Caller, body: OptionAdd) -> OptionView:
    """Set an option for the platform."""
    return await options.put(caller, PLATFORM, body)


@endpoint("DELETE", "/platform/options/{optionName}", permission="OPTIONS_WRITE", addition=True)
async def delete_platform_option(options: Options, caller: Caller, option_name: str) -> None:
    """Take the platform's value of an option away; the default holds again."""
    await options.remove(caller, PLATFORM, option_name)


@endpoint("GET", "/brokers/{brokerId}/options", permission="OPTIONS_READ", addition=True)
async def list_broker_options(options: Options, caller: Caller, broker_id: Id) -> Page[OptionView]:
    """List the options of a broker, which is the URL scope."""
    return await options.find(caller, Place(Scope.URL, broker_id))


@endpoint(
    "POST", "/brokers/{brokerId}/options", permission="OPTIONS_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True
)
async def set_broker_option(options: Options, caller: Caller, broker_id: Id, body: OptionAdd) -> OptionView:
    """Set an option for a broker, which is the URL scope."""
    return await options.put(caller, Place(Scope.URL, broker_id), body)


@endpoint("DELETE", "/brokers/{brokerId}/options/{optionName}", permission="OPTIONS_WRITE", addition=True)
async def delete_broker_option(options: Options, caller: Caller, broker_id: Id, option_name: str) -> None:
    """Take a broker's value of an option away."""
    await options.remove(caller, Place(Scope.URL, broker_id), option_name)


@endpoint("GET", "/customers/{customerId}/options", permission="OPTIONS_READ", addition=True)
async def list_customer_options(options: Options, caller: Caller, customer_id: Id) -> Page[OptionView]:
    """List the options of a customer."""
    return await options.find(caller, Place(Scope.CUSTOMER, customer_id))


@endpoint(
    "POST", "/customers/{customerId}/options", permission="OPTIONS_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True
)
async def set_customer_option(options: Options, caller: Caller, customer_id: Id, body: OptionAdd) -> OptionView:
    """Set an option for a customer."""
    return await options.put(caller, Place(Scope.CUSTOMER, customer_id), body)


@endpoint("DELETE", "/customers/{customerId}/options/{optionName}", permission="OPTIONS_WRITE", addition=True)
async def delete_customer_option(options: Options, caller: Caller, customer_id: Id, option_name: str) -> None:
    """Take a customer's value of an option away."""
    await options.remove(caller, Place(Scope.CUSTOMER, customer_id), option_name)


@endpoint("GET", "/domains/{domainId}/options", permission="OPTIONS_READ")
async def list_domain_options(options: Options, caller: Caller, domain_id: Id) -> Page[OptionView]:
    """List the options of a domain."""
    return await options.find(caller, Place(Scope.DOMAIN, domain_id))


@endpoint("POST", "/domains/{domainId}/options", permission="OPTIONS_WRITE", problems=(Kind.UNPROCESSABLE,))
async def set_domain_option(options: Options, caller: Caller, domain_id: Id, body: OptionAdd) -> OptionView:
    """Set an option for a domain."""
    return await options.put(caller, Place(Scope.DOMAIN, domain_id), body)


@endpoint("DELETE", "/domains/{domainId}/options/{optionName}", permission="OPTIONS_WRITE")
async def delete_domain_option(options: Options, caller: Caller, domain_id: Id, option_name: str) -> None:
    """Take a domain's value of an option away; that of the scope above holds again."""
    await options.remove(caller, Place(Scope.DOMAIN, domain_id), option_name)


@endpoint("GET", "/users/{userId}/options", permission="OPTIONS_READ")
async def list_user_options(options: Options, caller: Caller, user_id: Id) -> Page[OptionView]:
    """List the options of a user."""
    return await options.find(caller, Place(Scope.USER, user_id))


@endpoint("POST", "/users/{userId}/options", permission="OPTIONS_WRITE", problems=(Kind.UNPROCESSABLE,))
async def set_user_option(options: Options, caller: Caller, user_id: Id, body: OptionAdd) -> OptionView:
    """Set an option for a user."""
    return await options.put(caller, Place(Scope.USER, user_id), body)


@endpoint("DELETE", "/users/{userId}/options/{optionName}", permission="OPTIONS_WRITE")
async def delete_user_option(options: Options, caller: Caller, user_id: Id, option_name: str) -> None:
    """Take a user's value of an option away; that of the domain holds again."""
    await options.remove(caller, Place(Scope.USER, user_id), option_name)
