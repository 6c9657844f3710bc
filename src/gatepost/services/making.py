"""Makes all services of one Gatepost over its store and the mail road."""

import msgspec

from gatepost.dns import Resolver
from gatepost.mta.probe import Prober
from gatepost.services.access import Access
from gatepost.services.admins import Admins
from gatepost.services.audit import Audits
from gatepost.services.backups import Backups
from gatepost.services.content import Contents
from gatepost.services.diagnosis import Diagnosis
from gatepost.services.dkim import Dkim
from gatepost.services.dryrun import DryRuns
from gatepost.services.engines import Engines
from gatepost.services.ground import Ground
from gatepost.services.health import Health
from gatepost.services.letters import Letters
from gatepost.services.mailbox import Mailboxes
from gatepost.services.mx import MxCheck
from gatepost.services.options import Options
from gatepost.services.outgoing import make_outgoing
from gatepost.services.platforms import Platforms
from gatepost.services.proof import Proof
from gatepost.services.quarantine import Quarantine
from gatepost.services.queue import Deliveries
from gatepost.services.recovery import Recovery
from gatepost.services.relays import Relays
from gatepost.services.reports import Reports
from gatepost.services.sending import Sending
from gatepost.services.sessions import Sessions
from gatepost.services.signin import SignIn
from gatepost.services.suppressions import Suppressions
from gatepost.services.targets import Targets
from gatepost.services.tasks import Tasks
from gatepost.services.temporary import TemporaryTokens
from gatepost.services.tenancy import make_tenancy
from gatepost.services.tickets import Tickets
from gatepost.services.tokens import Tokens
from gatepost.services.totp import Totp
from gatepost.services.trace import Traces
from gatepost.services.training import Training
from gatepost.services.users import UserLists, Users
from gatepost.services.webhooks import Webhooks
from gatepost.services.wording import make_wording
from gatepost.services.writing import make_writing


def make_services(ground: Ground) -> list[object]:
    """Return the services; Access and Reports have work under way that must `settle` before the store closes."""
    store, settings, clock = ground.store, ground.settings, ground.clock
    access = Access(store, settings, clock, ground.metrics)
    tickets, options, wording = Tickets(store, access, clock), Options(store), make_wording(settings.notices)
    contents = Contents(store, ground.opener, settings.limits)
    targets = Targets(settings.relay.private_platforms)
    # Who has just published a record wants no old answer.
    asking = Resolver(msgspec.structs.replace(settings.dns, cache=0), clock)
    comes_here = MxCheck(asking, settings.smtp.gateway_names)
    platforms = Platforms(store.secrets, targets)
    sending, writing = make_writing(ground, access, contents, tickets, wording)
    letters = Letters(store, sending, tickets, options, wording)
    return [
        access,
        contents,
        options,
        tickets,
        wording,
        sending,
        *writing,
        *make_tenancy(store, ground.passwords, platforms, comes_here, settings, clock),
        *_accounts(ground, access, tickets, options, letters, platforms),
        *_mail(ground, targets, letters),
        *_dns(ground, targets, asking),
        _reports(ground, sending, options),
        Audits(store),
        Backups(store),
        Engines(ground.engines, ground.metrics),
        Suppressions(store, clock),
        Webhooks(store, targets, clock, private=settings.webhooks.private),
    ]


def _accounts(
    ground: Ground, access: Access, tickets: Tickets, options: Options, letters: Letters, platforms: Platforms
) -> list[object]:
    """Who signs in, and by what."""
    store, clock, passwords = ground.store, ground.clock, ground.passwords
    proof = Proof(passwords, clock)
    totp = Totp(store, proof, clock)
    return [
        Admins(store, passwords),
        UserLists(store, platforms),
        Users(store, platforms, passwords, letters, clock),
        SignIn(store, ground.settings, access, passwords, totp, clock, ground.metrics),
        Recovery(store, passwords, proof, tickets, letters, clock),
        Sessions(store, tickets, totp, options),
        TemporaryTokens(store, tickets, letters),
        Tokens(store, clock),
        totp,
    ]


def _mail(ground: Ground, targets: Targets, letters: Letters) -> list[object]:
    """What is kept, held and on its way, and what became of it."""
    store, settings, clock = ground.store, ground.settings, ground.clock
    mailboxes = Mailboxes(store, ground.releases, ground.indexer, ground.lessons)
    training = Training(store, mailboxes, ground.lessons, settings.limits.message_bytes)
    return [
        mailboxes,
        training,
        Deliveries(store, ground.moves, targets),
        DryRuns(store, ground.directory, ground.intake, settings, clock),
        Quarantine(store, mailboxes, settings.trace.days, clock),
        Tasks(store, letters, training),
        Traces(store, settings.filters),
    ]


def _dns(ground: Ground, targets: Targets, asking: Resolver) -> list[object]:
    """What looks into DNS, or speaks to other servers, as somebody waits for the answer."""
    store, settings, clock = ground.store, ground.settings, ground.clock
    prober = Prober(settings.relay, settings.hostname)
    dkim = Dkim(store, asking, settings.dkim.selector, clock)
    diagnosis, relays = Diagnosis(asking, dkim, settings), Relays(prober, targets, asking)
    return [
        dkim,
        Health(store, diagnosis, relays, runs_per_minute=settings.health.runs_per_minute, clock=clock),
        *make_outgoing(store, prober, targets, asking, settings, clock),
    ]


def _reports(ground: Ground, sending: Sending, options: Options) -> Reports:
    reports = Reports(ground.store, sending, options, ground.settings)
    reports.watch(ground.outgoing)
    return reports
