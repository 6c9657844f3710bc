"""Tasks and temporary tokens (contract 5.12, 5.13)."""

from gatepost.api.endpoint import Call, endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.services.tasks import Task, Tasks
from gatepost.services.temporary import AuthToken, TemporaryTokens, TokenWish


@endpoint("POST", "/tasks", permission="TASK_WELCOME", others=True, status=202, problems=(Kind.UNPROCESSABLE,))
async def execute_task(tasks: Tasks, caller: Caller, call: Call, body: Task) -> None:
    """Mail a user a welcome, a link that signs in or a link to set a password; each has its own permission."""
    await tasks.run(caller, body, call.base)


@endpoint("GET", "/token", permission="IMPERSONATE", others=True, status=202, problems=(Kind.NOT_FOUND,))
async def create_temporary_token(tokens: TemporaryTokens, caller: Caller, call: Call, query: TokenWish) -> AuthToken:
    """Make a temporary token for the caller, or to act for a user."""
    return await tokens.make(caller, query, call.base)
