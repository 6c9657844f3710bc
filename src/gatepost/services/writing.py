"""Makes the services for those who write mail, which stand on one another."""

from gatepost.services.access import Access
from gatepost.services.author import Authors
from gatepost.services.composing import Composing
from gatepost.services.content import Contents
from gatepost.services.drafts import Drafts
from gatepost.services.emails import Emails
from gatepost.services.ground import Ground
from gatepost.services.identities import Identities
from gatepost.services.outbox import Outbox
from gatepost.services.presence import Presence
from gatepost.services.sending import Sending
from gatepost.services.sent import SentMails
from gatepost.services.shares import Shares
from gatepost.services.signatures import Signatures
from gatepost.services.thread import Threads
from gatepost.services.tickets import Tickets
from gatepost.services.uploads import Uploads
from gatepost.services.wording import Wording


def make_writing(
    ground: Ground, access: Access, contents: Contents, tickets: Tickets, wording: Wording
) -> tuple[Sending, list[object]]:
    """Return the sending service, and those beside it."""
    store, settings, clock, directory = ground.store, ground.settings, ground.clock, ground.directory
    presence = Presence(settings.http.event_streams)
    authors = Authors(store, directory)
    uploads = Uploads(store, settings, clock)
    threads = Threads(store, contents)
    shares = Shares(store, authors, ground.passwords, access, settings, clock)
    drafts = Drafts(store, authors, uploads, threads, contents, ground.opener, settings, clock)
    sending = Sending(
        store,
        ground.intake,
        directory,
        ground.notices,
        ground.ways,
        authors=authors,
        uploads=uploads,
        drafts=drafts,
        threads=threads,
        shares=shares,
        settings=settings,
        clock=clock,
    )
    outbox = Outbox(store, authors, drafts, sending, wording, settings, clock)
    sent = SentMails(store, authors, outbox, ground.moves)
    composing = Composing(store, authors, sending, presence, tickets, uploads, settings.sending.upload_hours, clock)
    identities, signatures = Identities(store, authors), Signatures(store)
    emails = Emails(store, sending, settings.email, clock)
    beside = [authors, composing, drafts, emails, identities, outbox, presence, sent, shares, signatures, uploads]
    return sending, beside
