"""Uploads: files that a user brings before the mail that they belong to; gone once it is sent, or after a day."""

import asyncio
import mimetypes
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from gatepost.events import Clock
from gatepost.message.compose import Attachment
from gatepost.message.filename import safe_name
from gatepost.message.media import read_media_type
from gatepost.model.access import Caller
from gatepost.model.envelope import Body
from gatepost.model.outgoing import Upload
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import User
from gatepost.services.access import require
from gatepost.services.draft import Enclosure
from gatepost.settings import Settings
from gatepost.store.blobs import Draft
from gatepost.store.store import Reader, Store, Writer

HOUR = 3_600_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_GONE = "There is no such file."


class Incoming:
    """A file while it comes in; `write` raises Problem (TOO_LARGE, FULL, UNAVAILABLE)."""

    def __init__(self, uploads: "Uploads", user: User, draft: Draft) -> None:
        self._uploads = uploads
        self.user = user
        self.draft = draft

    def write(self, data: bytes) -> None:
        """Append octets."""
        self._uploads.check(self, len(data))
        self.draft.write(data)


class Uploads:
    """A user's files. Nobody else sees them: to others they are not there (threat 116)."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._limits = settings.sending
        self.largest = settings.limits.message_bytes
        self._clock = clock
        self._under_way: set[Incoming] = set()

    # One comes in.

    def begin(self, caller: Caller) -> Incoming:
        """Return a place for a file of the caller; raise TOO_LARGE or FULL where there is none left (rules 27)."""
        user = self._owner(self._store.reader, caller)
        if not self._store.fresh_space():
            raise Problem(Kind.FULL, "There is no space left for files.")
        incoming = Incoming(self, user, self._store.spool.draft())
        self._check_room(self._store.reader, user, 0)
        self._under_way.add(incoming)
        return incoming

    def check(self, incoming: Incoming, more: int) -> None:
        """Raise TOO_LARGE or FULL where a file may not grow by `more` octets."""
        size = incoming.draft.size + more
        if size > self.largest:
            raise Problem(Kind.TOO_LARGE, f"A file may have at most {self.largest} octets.")
        his = sum(each.draft.size for each in self._under_way if each.user.id == incoming.user.id) + more
        if his > self._limits.upload_user_bytes:  # or one user, who never ends his, would leave no space to others
            text = f"The files that a user brings at once have at most {self._limits.upload_user_bytes} octets."
            raise Problem(Kind.TOO_LARGE, text)
        under_way = sum(each.draft.size for each in self._under_way) + more
        if under_way > self._limits.upload_bytes:
            raise Problem(Kind.FULL, "There is no space left for files.")

    async def finish(self, incoming: Incoming, name: str, media: str) -> Upload:
        """Keep the file and return it; `name` and `media` are the sender's words. What fails leaves nothing."""
        if _CONTROL.search(name):
            raise Problem(Kind.MALFORMED, "The file name contains a character that is not allowed.", pointer="/file")
        shown = safe_name(name, "file")
        now = self._clock()
        upload = Upload(
            id=secrets.token_hex(16),
            user_id=incoming.user.id,
            name=shown,
            type=_media(media, shown),
            size=incoming.draft.size,
            created_at=now,
            expires_at=now + self._limits.upload_hours * HOUR,
        )
        body = await self._store.spool.finish(incoming.draft)
        try:
            body = await self._store.spool.adopt(body, upload.id)
            await self._store.write(lambda writer: self._keep(writer, incoming.user, upload, body))
        except BaseException:
            self._store.spool.forget(body)
            raise
        return upload

    def end(self, incoming: Incoming) -> None:
        """Let go of what came in and was not kept; harmless after `finish`."""
        self._under_way.discard(incoming)
        incoming.draft.discard()

    def _keep(self, writer: Writer, user: User, upload: Upload, body: Body) -> None:
        self._check_room(writer, user, upload.size)
        writer.keep_upload(upload, body)

    def _check_room(self, reader: Reader, user: User, size: int) -> None:
        limits = self._limits
        count, octets = reader.uploaded(user.id)
        if count >= limits.upload_files:
            raise Problem(Kind.TOO_LARGE, f"At most {limits.upload_files} files wait to be sent; send or delete some.")
        if octets + size > limits.upload_user_bytes:
            text = (
                f"The files that wait to be sent have at most {limits.upload_user_bytes} octets; send or delete some."
            )
            raise Problem(Kind.TOO_LARGE, text)
        if reader.uploaded()[1] + size > limits.upload_bytes:
            raise Problem(Kind.FULL, "There is no space left for files.")

    # What is there.

    async def get(self, caller: Caller, uid: str, name: str) -> tuple[Upload, Body]:
        """Return a file of the caller with its octets; raise NOT_FOUND."""

        def ask(reader: Reader) -> tuple[Upload, Body]:
            upload = self._of(reader, self._owner(reader, caller), uid)
            body = reader.body(uid)
            if upload is None or body is None or upload.name != name:
                raise Problem(Kind.NOT_FOUND, _GONE)
            return upload, body

        return await self._store.read(ask)

    async def delete(self, caller: Caller, uid: str, name: str) -> None:
        """Remove a file of the caller; raise NOT_FOUND."""
        upload, _ = await self.get(caller, uid, name)
        if not await self._store.write(lambda writer: writer.drop_uploads([upload.id])):
            raise Problem(Kind.NOT_FOUND, _GONE)

    def has(self, user: User, wanted: Enclosure) -> bool:
        """Tell whether a file is there, and the user's."""
        return self._of(self._store.reader, user, wanted.uid) is not None

    def look(self, user: User, wanted: Sequence[Enclosure]) -> None:
        """Raise NOT_FOUND at the first that is no file of a user."""
        for at, each in enumerate(wanted):
            if not self.has(user, each):
                raise Problem(Kind.NOT_FOUND, _GONE, pointer=f"/attachments/{at}/uid")

    async def load(self, user: User, wanted: Sequence[Enclosure]) -> list[Attachment]:
        """Return a user's files with their octets, in the order that is given; raise NOT_FOUND at the first other."""
        total = 0
        files: list[tuple[str, Upload, Body]] = []
        for at, each in enumerate(wanted):
            upload = self._of(self._store.reader, user, each.uid)
            body = self._store.reader.body(each.uid) if upload else None
            if upload is None or body is None:
                raise Problem(Kind.NOT_FOUND, _GONE, pointer=f"/attachments/{at}/uid")
            total += upload.size
            files.append((each.name or upload.name, upload, body))
        if total > self.largest:
            raise Problem(Kind.TOO_LARGE, f"A mail may have at most {self.largest} octets.", pointer="/attachments")
        return [Attachment(name, await _octets(body), upload.type) for name, upload, body in files]

    def _of(self, reader: Reader, user: User, uid: str) -> Upload | None:
        upload = reader.get(Upload, uid)
        live = upload is not None and upload.user_id == user.id and upload.expires_at > self._clock()
        return upload if live else None

    def _owner(self, reader: Reader, caller: Caller) -> User:
        user = reader.get(User, caller.user_id) if caller.user_id else None
        if user is None:
            raise Problem(Kind.FORBIDDEN, "Files are uploaded by the user of a mailbox.", login=caller.login)
        require(caller, "MAIL_SEND", user)
        return user


def _media(given: str, name: str) -> str:
    """The type that was said, if it is one, with its parameters; else the usual one of such a name."""
    media = read_media_type(given) or read_media_type(given.partition(";")[0])
    usual = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return "; ".join(media) if media and media[0] != "application/octet-stream" else usual


async def _octets(body: Body) -> bytes:
    if body.path is None:
        return body.data or b""
    try:
        return await asyncio.to_thread(Path(body.path).read_bytes)
    except FileNotFoundError as error:
        raise Problem(Kind.NOT_FOUND, _GONE) from error
