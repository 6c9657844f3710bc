"""A backup of the store (an addition), for the command alone: asked for over the control socket."""

import msgspec

from gatepost.api.endpoint import Call, endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.services.backups import Backups
from gatepost.services.records import Text


class BackupAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Where the copy is to be made: an absolute path of the daemon's machine. `withKey`: the master key goes along."""

    directory: Text
    with_key: bool = False


class BackupView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was copied: octets in all, and the files of large bodies among it."""

    directory: str
    octets: int
    bodies: int


@endpoint(
    "POST",
    "/backups",
    local=True,
    addition=True,
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE, Kind.FORBIDDEN, Kind.FULL, Kind.UNAVAILABLE),
)
async def make_backup(backups: Backups, call: Call, caller: Caller, body: BackupAsk) -> BackupView:
    """Copy the store into a new directory of the machine, as long as somebody waits; over the control socket alone."""
    copied = await call.awaited(backups.make(caller, body.directory, with_key=body.with_key))
    return BackupView(directory=body.directory, octets=copied.octets, bodies=copied.bodies)
