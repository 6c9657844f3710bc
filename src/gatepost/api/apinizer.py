"""The dialect of Apinizer's e-mail connections: projects, connections, tokens (contract 14, D1 to D6)."""

from dataclasses import replace
from functools import partial
from typing import Literal
from urllib.parse import parse_qs

import msgspec

from gatepost.api.body import octets
from gatepost.api.credentials import basic_pair, bearer
from gatepost.api.dialect import Dialect
from gatepost.api.endpoint import Call, endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.services.connections import EMAIL, ConnectionData, Connections
from gatepost.services.projects import ProjectAdd, Projects, ProjectView
from gatepost.services.signin import SignIn

ENVIRONMENT = "production"  # there is one, in which everything is deployed at once
FORM = "application/x-www-form-urlencoded"
LARGEST_FORM = 4096  # octets
MANY_FIELDS = 10
CODES = {
    400: "bad_request",
    401: "invalid_token",
    403: "forbidden",
    404: "not_found",
    429: "rate_limit_exceeded",
    500: "internal_error",
    503: "internal_error",
    507: "internal_error",
}


class Fault(msgspec.Struct, frozen=True):
    """A member at fault."""

    field: str
    message: str


class ApinizerRefusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The error body of the vendor's documents (contract D2)."""

    error: str
    error_description: str
    validation_errors: list[Fault] = []


def _refusal(status: int, message: str, _: str, pointer: str | None, *, unproven: str = CODES[401]) -> bytes:
    code = unproven if status == 401 else CODES.get(status, "bad_request")
    if status == 400 and pointer:
        faults = [Fault(pointer.strip("/").replace("/", "."), message)]
        return msgspec.json.encode(ApinizerRefusal("validation_failed", message, faults))
    return msgspec.json.encode(ApinizerRefusal(code, message))


APINIZER = Dialect(
    name="apinizer-connections",
    prove=bearer,
    refusal=_refusal,
    status={Kind.CONFLICT: 400, Kind.UNPROCESSABLE: 400},
    error=ApinizerRefusal,
    roots=("/apiops",),
)
TOKENS = replace(APINIZER, refusal=partial(_refusal, unproven="unauthorized_client"), challenge="Basic")
PROJECTS = "/apiops/projects/"
CONNECTIONS = PROJECTS + "{projectName}/connections/"
CONNECTION = CONNECTIONS + "{connectionName}/"


class ProjectList(msgspec.Struct, kw_only=True, rename="camel"):
    """Projects."""

    success: bool = True
    result_list: list[ProjectView]
    result_count: int


class ConnectionList(msgspec.Struct, kw_only=True, rename="camel"):
    """Connections: all of a project, or the one that was asked for."""

    success: bool = True
    result_list: list[ConnectionData]
    result_count: int


class Deployment(msgspec.Struct, kw_only=True, rename="camel"):
    """How it went in one environment."""

    environment_name: str = ENVIRONMENT
    success: bool = True
    message: str = "Deployment successful"


class DeploymentResult(msgspec.Struct, kw_only=True, rename="camel"):
    """How it went in all of them."""

    success: bool = True
    deployment_results: list[Deployment]


class Deployed(msgspec.Struct, kw_only=True, rename="camel"):
    """The outcome of a change. Nothing is told of environments that it was not deployed to."""

    success: bool = True
    deployment_result: DeploymentResult


class Tested(msgspec.Struct, kw_only=True):
    """The outcome of a test mail, with the server's words."""

    success: bool = True
    message: str


class AccessToken(msgspec.Struct, kw_only=True):
    """A token for an hour (contract D6)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind of token
    expires_in: int


class TypeAsk(msgspec.Struct):
    """Which type of connections is asked for; there are none but e-mail connections."""

    type: str = EMAIL


@endpoint("GET", PROJECTS, permission="ROUTES_READ", dialect=APINIZER, addition=True)
async def list_projects(projects: Projects, caller: Caller) -> ProjectList:
    """List the projects that the caller may see."""
    found = await projects.find(caller)
    return ProjectList(result_list=found, result_count=len(found))


@endpoint("POST", PROJECTS, permission="ROUTES_WRITE", status=200, dialect=APINIZER, addition=True)
async def create_project(projects: Projects, caller: Caller, body: ProjectAdd) -> ProjectList:
    """Make a project of one customer."""
    return ProjectList(result_list=[await projects.create(caller, body)], result_count=1)


@endpoint("DELETE", PROJECTS + "{projectName}/", permission="ROUTES_WRITE", status=200, dialect=APINIZER, addition=True)
async def delete_project(projects: Projects, caller: Caller, project_name: str) -> ProjectList:
    """Delete a project that has no connections."""
    await projects.remove(caller, project_name)
    return ProjectList(result_list=[], result_count=0)


@endpoint("GET", CONNECTIONS, permission="ROUTES_READ", dialect=APINIZER)
async def list_connections(
    connections: Connections, caller: Caller, project_name: str, query: TypeAsk
) -> ConnectionList:
    """List a project's connections, without their passwords."""
    found = await connections.find(caller, project_name)
    shown = found if query.type == EMAIL else []
    return ConnectionList(result_list=shown, result_count=len(shown))


@endpoint("GET", CONNECTION, permission="ROUTES_READ", dialect=APINIZER)
async def get_connection(
    connections: Connections, caller: Caller, project_name: str, connection_name: str
) -> ConnectionList:
    """Return one connection; its password is in clear for who holds ROUTES_WRITE, and that is audited."""
    return ConnectionList(result_list=[await connections.get(caller, project_name, connection_name)], result_count=1)


@endpoint("POST", CONNECTION, permission="ROUTES_WRITE", status=200, dialect=APINIZER)
async def create_connection(
    connections: Connections, caller: Caller, project_name: str, connection_name: str, body: ConnectionData
) -> Deployed:
    """Create a connection."""
    await connections.create(caller, project_name, connection_name, body)
    return _deployed(body)


@endpoint("PUT", CONNECTION, permission="ROUTES_WRITE", dialect=APINIZER)
async def update_connection(
    connections: Connections, caller: Caller, project_name: str, connection_name: str, body: ConnectionData
) -> Deployed:
    """Replace all of a connection; another name in the body renames it."""
    await connections.replace(caller, project_name, connection_name, body)
    return _deployed(body)


@endpoint("DELETE", CONNECTION, permission="ROUTES_WRITE", status=200, dialect=APINIZER)
async def delete_connection(
    connections: Connections, caller: Caller, project_name: str, connection_name: str
) -> Deployed:
    """Delete a connection that nobody is bound to."""
    return _deployed(await connections.remove(caller, project_name, connection_name))


@endpoint("POST", CONNECTION + "test/", permission="ROUTES_WRITE", status=200, dialect=APINIZER, addition=True)
async def test_connection(connections: Connections, caller: Caller, project_name: str, connection_name: str) -> Tested:
    """Send a test mail to the connection's addressToTest; a refusal tells the server's words."""
    return Tested(message=await connections.test(caller, project_name, connection_name))


@endpoint(
    "POST",
    "/apiops/auth/token",
    status=200,
    public=True,
    addition=True,
    problems=(Kind.UNAUTHENTICATED, Kind.TOO_MANY, Kind.TOO_LARGE, Kind.UNSUPPORTED),
    dialect=TOKENS,
)
async def create_access_token(sign_in: SignIn, call: Call) -> AccessToken:
    """Return a bearer token for a login and its password, or a personal token, given as client_id and client_secret."""
    media = call.request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if media != FORM:
        raise Problem(Kind.UNSUPPORTED, f"The body must be {FORM}.")
    form = _form(await octets(call.request, LARGEST_FORM))
    if form.get("grant_type") != ["client_credentials"]:
        raise Problem(Kind.MALFORMED, "The grant_type must be client_credentials.")
    login, secret = basic_pair(call.request) or (form.get("client_id", [""])[0], form.get("client_secret", [""])[0])
    token, seconds = await sign_in.client(login, secret, call.ip)
    return AccessToken(access_token=token, expires_in=seconds)


def _form(raw: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(raw.decode("utf-8", "replace"), max_num_fields=MANY_FIELDS)
    except ValueError as error:
        raise Problem(Kind.MALFORMED, f"The form may have at most {MANY_FIELDS} members.") from error


def _deployed(connection: ConnectionData) -> Deployed:
    results = [Deployment()] if connection.deploy_to_worker else []
    return Deployed(deployment_result=DeploymentResult(deployment_results=results))
