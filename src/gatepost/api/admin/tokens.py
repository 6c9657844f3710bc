"""Personal tokens of administrators (contract 5.2)."""

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.values import Id
from gatepost.services.tokens import TokenAdd, Tokens, TokenView


@endpoint("GET", "/admins/{adminId}/tokens", permission="ADMINS_READ")
async def list_tokens(tokens: Tokens, caller: Caller, admin_id: Id) -> list[TokenView]:
    """List the tokens of an administrator, without their values."""
    return await tokens.find(caller, admin_id)


@endpoint("POST", "/admins/{adminId}/tokens", permission="ADMINS_WRITE", problems=(Kind.UNPROCESSABLE,))
async def create_token(tokens: Tokens, caller: Caller, admin_id: Id, body: TokenAdd) -> TokenView:
    """Create a token; its value is shown in this answer only."""
    return await tokens.create(caller, admin_id, body)


@endpoint("DELETE", "/admins/{adminId}/tokens/{id}", permission="ADMINS_WRITE")
async def delete_token(tokens: Tokens, caller: Caller, admin_id: Id, id: Id) -> None:
    """Revoke a token."""
    await tokens.delete(caller, admin_id, id)
