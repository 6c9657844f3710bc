"""Makes the services for those who write mail, which stand on one another."""

from gatepost.events import Clock
from gatepost.message.mail import Opener
from gatepost.mta.directory import Directory
from gatepost.mta.intake import Intake
from gatepost.mta.moves import Moves
from gatepost.mta.notices import Notices
from gatepost.mta.ways import Ways
from gatepost.services.access import Access
from gatepost.services.author import Authors
from gatepost.services.composing import Composing
from gatepost.services.content import Contents
from gatepost.services.drafts import Drafts
from gatepost.services.emails import Emails
from gatepost.services.identities import Identities
from gatepost.services.outbox import Outbox
from gatepost.services.passwords import Passwords
from gatepost.services.presence import Presence
from gatepost.services.sending import Sending
from gatepost.services.sent import SentMails
from gatepost.services.shares import Shares
from gatepost.services.signatures import Signatures
from gatepost.services.thread import Threads
from gatepost.services.tickets import Tickets
from gatepost.services.uploads import Uploads
from gatepost.services.wording import Wording
from gatepost.settings import Settings
from gatepost.store.store import Store


def make_writing(
    store: Store,
    intake: Intake,
    directory: Directory,
    notices: Notices,
    ways: Ways,
    contents: Contents,
    tickets: Tickets,
    access: Access,
    passwords: Passwords,
    opener: Opener,
    wording: Wording,
    moves: Moves,
    settings: Settings,
    clock: Clock,
) -> tuple[Sending, list[object]]:
    """Return the sending service, and those beside it."""
    presence = Presence(settings.http.event_streams)
    authors = Authors(store, directory)
    uploads = Uploads(store, settings, clock)
    threads = Threads(store, contents)
    shares = Shares(store, authors, passwords, access, settings, clock)
    drafts = Drafts(store, authors, uploads, threads, contents, opener, settings, clock)
    sending = Sending(
        store,
        intake,
        directory,
        notices,
        ways,
        authors=authors,
        uploads=uploads,
        drafts=drafts,
        threads=threads,
        shares=shares,
        settings=settings,
        clock=clock,
    )
    outbox = Outbox(store, authors, drafts, sending, wording, settings, clock)
    sent = SentMails(store, authors, outbox, moves)
    composing = Composing(store, authors, sending, presence, tickets, uploads, settings.sending.upload_hours, clock)
    identities, signatures = Identities(store, authors), Signatures(store)
    emails = Emails(store, sending, settings.email, clock)
    beside = [authors, composing, drafts, emails, identities, outbox, presence, sent, shares, signatures, uploads]
    return sending, beside
