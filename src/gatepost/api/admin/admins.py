"""Administrators (contract 5.1.2)."""

import msgspec

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing
from gatepost.model.access import Caller
from gatepost.model.query import Page, Query
from gatepost.services.admins import Admins, AdminView

ADMINS = Listing(sort="login", sorts=("login", "id"))


class AdminSearch(msgspec.Struct, kw_only=True):
    """Which administrators: those whose login, e-mail address or name contains `search`."""

    search: str | None = None


@endpoint("GET", "/security/admins", permission="GRANT", listing=ADMINS)
async def list_admins(admins: Admins, caller: Caller, page: Query, query: AdminSearch) -> Page[AdminView]:
    """List the administrators of the objects on which the caller may grant rights."""
    return await admins.find(caller, page, query.search)
