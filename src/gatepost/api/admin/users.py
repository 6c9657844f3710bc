"""Accounts (contract 5.14)."""

from gatepost.api.endpoint import Call, endpoint
from gatepost.api.listing import Listing, address, text
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.shown import UserItem, UserView
from gatepost.services.users import UserAdd, UserLists, Users, UserUpdate

USERS = Listing(
    sort="email",
    sorts=("email", "firstname", "lastname", "status", "language", "creationDate", "lastConnectionDate", "id"),
    filters={"email": address("email"), "platformName": text("platform_name")},
)


@endpoint("GET", "/users", permission="USERS_READ", listing=USERS)
async def list_users(users: UserLists, caller: Caller, query: Query) -> Page[UserItem]:
    """List the accounts of all domains on which the caller has a role."""
    return await users.find(caller, query)


@endpoint("GET", "/domains/{domainId}/users", permission="USERS_READ", listing=USERS, exports=True)
async def list_domain_users(users: UserLists, caller: Caller, domain_id: Id, query: Query) -> Page[UserItem]:
    """List the accounts of a domain."""
    return await users.find_in(caller, domain_id, query)


@endpoint(
    "POST",
    "/users",
    permission="USERS_WRITE",
    location="/users/{id}",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def create_user(users: Users, caller: Caller, call: Call, body: UserAdd) -> UserView:
    """Create an account in the domain of its address."""
    return await users.create(caller, body, call.base)


@endpoint("GET", "/users/{userId}", permission="USERS_READ")
async def get_user(users: Users, caller: Caller, user_id: Id) -> UserView:
    """Return an account."""
    return await users.get(caller, user_id)


@endpoint("PATCH", "/users/{userId}", permission="USERS_WRITE", problems=(Kind.CONFLICT, Kind.UNPROCESSABLE))
async def update_user(users: Users, caller: Caller, call: Call, user_id: Id, body: UserUpdate) -> None:
    """Change the given members of an account."""
    await users.update(caller, user_id, body, call.base)


@endpoint("DELETE", "/users/{userId}", permission="USERS_WRITE")
async def delete_user(users: Users, caller: Caller, user_id: Id) -> None:
    """Delete an account with its rules and tokens; mail that is stored for it stays."""
    await users.delete(caller, user_id)
