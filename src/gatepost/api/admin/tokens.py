"""Personal tokens of administrators (contract 5.2) and, an addition, of mailbox users."""

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.values import Id
from gatepost.services.tokens import Owner, TokenAdd, Tokens, TokenView


@endpoint("GET", "/admins/{adminId}/tokens", permission="ADMINS_READ", others=True)
async def list_tokens(tokens: Tokens, caller: Caller, admin_id: Id) -> list[TokenView]:
    """List the tokens of an administrator, without their values."""
    return await tokens.find(caller, Owner(admin_id=admin_id))


@endpoint("POST", "/admins/{adminId}/tokens", permission="ADMINS_WRITE", others=True, problems=(Kind.UNPROCESSABLE,))
async def create_token(tokens: Tokens, caller: Caller, admin_id: Id, body: TokenAdd) -> TokenView:
    """Create a token; its value is shown in this answer only."""
    return await tokens.create(caller, Owner(admin_id=admin_id), body)


@endpoint("DELETE", "/admins/{adminId}/tokens/{id}", permission="ADMINS_WRITE", others=True)
async def delete_token(tokens: Tokens, caller: Caller, admin_id: Id, id: Id) -> None:
    """Revoke a token."""
    await tokens.delete(caller, Owner(admin_id=admin_id), id)


@endpoint("GET", "/users/{userId}/tokens", addition=True)
async def list_user_tokens(tokens: Tokens, caller: Caller, user_id: Id) -> list[TokenView]:
    """List the tokens of a mailbox user, without their values; for the user himself and sysadmins."""
    return await tokens.find(caller, Owner(user_id=user_id))


@endpoint("POST", "/users/{userId}/tokens", addition=True, problems=(Kind.UNPROCESSABLE,))
async def create_user_token(tokens: Tokens, caller: Caller, user_id: Id, body: TokenAdd) -> TokenView:
    """Create a token of a mailbox user; its value is shown in this answer only."""
    return await tokens.create(caller, Owner(user_id=user_id), body)


@endpoint("DELETE", "/users/{userId}/tokens/{id}", addition=True)
async def delete_user_token(tokens: Tokens, caller: Caller, user_id: Id, id: Id) -> None:
    """Revoke a token of a mailbox user."""
    await tokens.delete(caller, Owner(user_id=user_id), id)
