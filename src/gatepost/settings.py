"""Settings: everything that can be set, in sections; `configuration.py` reads them.

Each key's one-line meaning stands in its section's `DOC`; `config/gatepost.toml` is made from it.
"""

import socket
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from gatepost.model.envelope import Role
from gatepost.model.verdict import OnError

YEAR = 31_536_000  # seconds: for ever, and no more than clocks can add

Amount = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=YEAR)]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class SettingsError(Exception):
    """The settings can't be used; the text names the file or variable and the key."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. `DOC` gives each key's one line of why."""


class Listener(Section, frozen=True):
    """One `[[smtp.listener]]`."""

    DOC: ClassVar[dict[str, str]] = {
        "role": "mx (from the world), submission (sign-in and TLS required) or trusted (relay for outgoing subnets)",
        "listen": "address:port; 0.0.0.0:25 is all of IPv4 and [::]:25 all of IPv6, each by a listener of its own;"
        " fd:NAME for a systemd socket of that name",
        "tls": "none, starttls (offered once a certificate is set) or implicit (TLS from the first octet)",
        "certificate": "PEM file with the chain; empty: the [smtp] certificate",
        "key": "PEM file with the private key; empty: the [smtp] key",
        "proxy_protocol_from": "peers (addresses or networks) whose PROXY header is believed, and required",
        "normalise_newlines": "turn bare CR and LF into CRLF instead of refusing them; for trusted clients only",
    }
    role: Role = Role.MX
    listen: str = "127.0.0.1:2525"
    tls: str = "starttls"
    certificate: str = ""
    key: str = ""
    proxy_protocol_from: list[str] = []
    normalise_newlines: bool = False


Mechanism = Literal["PLAIN", "LOGIN", "SCRAM-SHA-256"]


class Smtp(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "hostname": "the name in the banner, Received and EHLO; empty: the machine's full name",
        "listener": "the listeners; none given: one mx on 127.0.0.1:2525",
        "certificate": "PEM file with the certificate chain for STARTTLS and implicit TLS; read again on SIGHUP",
        "key": "PEM file with the private key",
        "verify_recipients": "ask the domain's platform about addresses that have no account (rules of recipients)",
        "split_policies": "answer 452 4.5.3 to a recipient whose policy differs from the first one's",
        "advertise_dsn": "offer DSN (RFC 3461)",
        "advertise_requiretls": "offer REQUIRETLS (RFC 8689) to clients under TLS",
        "auth_mechanisms": "how one signs in on a submission listener; a token takes PLAIN or LOGIN",
        "postmaster": "address here that a domainless postmaster stands for; empty: postmaster at the first domain",
        "gateway_names": "names and addresses that are this gateway, for MX checks and loop detection",
    }
    hostname: str = ""
    listener: list[Listener] = msgspec.field(default_factory=lambda: [Listener()])
    certificate: str = ""
    key: str = ""
    verify_recipients: bool = True
    split_policies: bool = False
    advertise_dsn: bool = True
    advertise_requiretls: bool = True
    auth_mechanisms: Annotated[list[Mechanism], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["PLAIN", "LOGIN", "SCRAM-SHA-256"]
    )
    postmaster: str = ""
    gateway_names: list[str] = []


class Http(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "listen": "address:port pairs of the REST API; fd:NAME for a systemd socket; an empty list: no API",
        "base_url": "the address under which clients reach the API, for links in answers; empty: the listener's own",
        "trusted_proxies": "peers whose X-Forwarded-For and X-Forwarded-Proto are believed",
        "certificate": "PEM file with the chain; empty: plain HTTP",
        "key": "PEM file with the private key",
        "max_json_bytes": "largest JSON body",
        "header_timeout": "seconds for a request's head, and for an idle connection",
        "min_body_rate": "octets a second that a body must reach",
        "max_connections": "open connections in all",
        "guesses_per_minute": "refused sign-ins from one address before 429",
        "egroupware_upload_status": "what the EGroupware dialect answers an upload with: 302 as its document, or 201",
        "event_streams": "event streams that one user may hold open",
        "exporters": "processes that make files of lists of more than 5,000 entries, at once at most; 0: none",
    }
    listen: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1:8025"])
    base_url: str = ""
    trusted_proxies: list[str] = []
    certificate: str = ""
    key: str = ""
    max_json_bytes: Count = 1_000_000
    header_timeout: Seconds = 15.0
    min_body_rate: Amount = 500
    max_connections: Count = 2000
    guesses_per_minute: Count = 10
    egroupware_upload_status: Literal[302, 201] = 302
    event_streams: Amount = 5
    exporters: Amount = 2


class StoreSettings(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "directory": "where everything lasts: gatepost.db, spool/, master.key; a relative path counts from the file",
        "key_file": "the master key; empty: master.key in the directory",
        "spool_cut": "bodies of at least so many octets are files, smaller ones rows",
        "reserve_bytes": "free space below which mail is refused with 452",
        "reserve_percent": "the same, as a share of the file system",
        "readers": "threads for long reads",
    }
    directory: str = "/var/lib/gatepost"
    key_file: str = ""
    spool_cut: Amount = 262_144
    reserve_bytes: Amount = 200_000_000
    reserve_percent: Annotated[float, Meta(ge=0, le=100)] = 5.0
    readers: Count = 2


class Dns(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "servers": "resolvers, address or address:port; empty: the system's",
        "timeout": "seconds for one question in all",
        "silent": "questions in a row without an answer after which a resolver is probed, and rests if it is silent",
        "rest": "seconds (0.1 at least) between probes of a resolver that rests; what is asked meanwhile fails at once",
        "cache": "answers kept in memory, 64 MB of them at most",
        "trust_ad": "whose word counts that DNSSEC proves an answer: local (resolvers on this machine), always, never",
    }
    servers: list[str] = []
    timeout: Seconds = 5.0
    silent: Annotated[int, Meta(ge=1)] = 5
    rest: Annotated[float, Meta(ge=0.1, le=YEAR)] = 5.0
    cache: Amount = 20_000
    trust_ad: str = "local"


class Relay(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "smarthost": "host:port that takes all leaving mail; empty: by MX",
        "smarthost_transport": "SMTP, SMTPS_ENCRYPT or SMTPS_MAY",
        "mx_port": "the port at MX hosts",
        "mx_transport": "how MX hosts are spoken to, where neither DANE nor MTA-STS asks for more",
        "dane": "hold MX hosts to their TLSA records, where DNSSEC proves them (RFC 7672)",
        "allow_private_destinations": "may MX results be private or loopback addresses?",
        "private_platforms": "who may save or check platforms on private addresses: sysadmin, everyone, nobody",
        "source_address": "local address of connections by its protocol, IPv4 or IPv6; empty: the system's choice",
        "ca_file": "PEM file with the authorities for SMTPS_ENCRYPT; empty: the system's",
        "connect_timeout": "seconds to connect to one address",
        "command_timeout": "seconds for a reply to a command",
        "data_timeout": "seconds for the reply after the end of data",
        "connections": "connections to one destination at once",
        "reuse": "mails over one connection",
        "idle": "seconds a connection waits for the next mail",
    }
    smarthost: str = ""
    smarthost_transport: str = "SMTPS_MAY"
    mx_port: Port = 25
    mx_transport: str = "SMTPS_MAY"
    dane: bool = True
    allow_private_destinations: bool = False
    private_platforms: Literal["sysadmin", "everyone", "nobody"] = "sysadmin"
    source_address: str = ""
    ca_file: str = ""
    connect_timeout: Seconds = 30.0
    command_timeout: Seconds = 300.0
    data_timeout: Seconds = 600.0
    connections: Count = 20
    reuse: Count = 100
    idle: Annotated[float, Meta(ge=0, le=YEAR)] = 30.0


class Auth(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "enabled": "look at SPF, DKIM, DMARC and ARC of mail that comes in at mx listeners",
        "timeout": "seconds for all of it; what does not come in time counts as a temporary error",
    }
    enabled: bool = True
    timeout: Seconds = 10.0


class DkimSettings(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "selector": "what the keys of domains are called in DNS; a replaced key gets a number behind it",
        "look_seconds": "seconds between two looks for the records of new keys; 0: only health checks look",
    }
    selector: str = "protect"
    look_seconds: Amount = 600


class MtaSts(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "enabled": "hold MX hosts to the policies of the domains that mail leaves for (RFC 8461)",
        "port": "the port at which policies are served",
        "ca_file": "PEM file with the authorities for policies, and for TLS reports by https; empty: the system's",
    }
    enabled: bool = True
    port: Port = 443
    ca_file: str = ""


class TlsReports(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "sender": "the address that sends daily reports on TLS to domains that ask for them (RFC 8460); empty: none",
        "organization": "how the reports call who sends them; empty: the gateway's name",
    }
    sender: str = ""
    organization: str = ""


Check = Literal["MX", "DKIM", "SPF", "DMARC", "PTR", "MTA-STS", "TLS-RPT", "DANE"]


class HealthSettings(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "period": "seconds in which every domain and platform is diagnosed once; 0: only when asked",
        "checks": "what a domain is looked at for: MX, DKIM, SPF, DMARC, PTR, MTA-STS, TLS-RPT, DANE",
        "runs_per_minute": "diagnostics that one caller may ask for in a minute before 429",
    }
    period: Amount = 86_400
    checks: list[Check] = msgspec.field(
        default_factory=lambda: ["MX", "DKIM", "SPF", "DMARC", "PTR", "MTA-STS", "TLS-RPT", "DANE"]
    )
    runs_per_minute: Count = 10


class Queue(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "life": "seconds until a delivery is given up",
        "first_retry": "seconds to the first retry; each next wait is double",
        "max_retry": "longest wait in seconds",
        "delay_notice": "seconds until a sender who asked for it is told of a delay",
        "memory_bytes": "bodies kept in memory for their first delivery",
        "concurrency": "transactions at once with who answers; twice as many with new destinations, half with silent",
    }
    life: Count = 432_000
    first_retry: Count = 300
    max_retry: Count = 4000
    delay_notice: Amount = 14_400
    memory_bytes: Amount = 64_000_000
    concurrency: Count = 200


class Limits(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "message_bytes": "largest mail; a policy may ask for less",
        "recipients": "recipients of one mail",
        "connections": "SMTP connections in all",
        "connections_per_ip": "SMTP connections of one address",
        "connections_per_minute": "new SMTP connections of one address within a minute; 0: any number",
        "errors": "refused commands before 421",
        "junk_commands": "NOOP, RSET, VRFY, HELP before 421",
        "unknown_recipients": "unknown recipients in a session before 421",
        "idle": "seconds without a command before 421",
        "session": "longest session in seconds",
        "min_data_rate": "octets a second, over a minute, that a DATA must reach",
        "body_line": "longest line of a body in octets",
        "received_headers": "Received headers before a mail counts as looping",
        "group_members": "addresses that a group may stand for",
        "auth_failures": "refused sign-ins in a session before 421",
        "auth_failures_per_ip": "refused sign-ins of one address in ten minutes before 454",
        "header_bytes": "largest header that is looked into",
        "headers": "header fields that are looked into",
        "parts": "MIME parts that are looked into",
        "depth": "nested MIME parts",
        "archive_bytes": "octets unpacked from one mail's archives",
        "archive_ratio": "largest expansion of an archive",
        "archive_entries": "entries of one mail's archives",
        "archive_depth": "archives within archives",
        "qr_images": "images of one mail that are searched for QR codes; 0: none. It takes the extra: gatepost[qr]",
        "scan_seconds": "seconds of the processor for one mail's content",
        "buffer_bytes": "octets of mail bodies in memory at once, over all sessions",
        "shutdown": "seconds that a stop may take",
        "provisioned_per_hour": "accounts made by auto-provisioning in one domain and hour",
        "domain_bytes": "octets kept for a domain from which on it gets no copies for retention and archive; 0: any",
    }
    message_bytes: Count = 52_428_800
    recipients: Count = 1000
    connections: Count = 10_000
    connections_per_ip: Count = 50
    connections_per_minute: Amount = 0
    errors: Amount = 20
    junk_commands: Amount = 100
    unknown_recipients: Amount = 25
    idle: Seconds = 300.0
    session: Seconds = 3600.0
    min_data_rate: Amount = 500
    body_line: Count = 65_536
    received_headers: Count = 50
    group_members: Count = 1000
    auth_failures: Count = 3
    auth_failures_per_ip: Count = 10
    header_bytes: Count = 102_400
    headers: Count = 1000
    parts: Count = 10_000
    depth: Count = 100
    archive_bytes: Count = 100_000_000
    archive_ratio: Count = 200
    archive_entries: Count = 10_000
    archive_depth: Amount = 5
    qr_images: Amount = 0
    scan_seconds: Seconds = 9.0  # so that a mail ends within ten, told and all
    buffer_bytes: Count = 64_000_000
    shutdown: Seconds = 8.0
    provisioned_per_hour: Amount = 100
    domain_bytes: Amount = 0


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """`[filters]`; the tables `[filters.<name>]` are decoded by the filters themselves."""

    DOC: ClassVar[dict[str, str]] = {
        "timeout": "seconds for all filters of one cost",
        "workers": "processes that open large mails and archives",
        "readers": "processes that read small mails while many come, one less than the processors at most; 0: none",
        "on_error": "what follows when a filter can't say, unless its own table differs: defer, accept, quarantine",
    }
    timeout: Seconds = 20.0
    workers: Count = 1
    readers: Amount = 4
    on_error: OnError = OnError.DEFER
    options: dict[str, dict[str, Any]] = {}


class Quarantine(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "system_days": "days that a hold is kept which no store flag asks for",
        "purge_seconds": "seconds between two purges",
    }
    system_days: Amount = 31
    purge_seconds: Count = 300


class Headers(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "spam_flag": "X-Spam-Flag on mail that is delivered to a platform: YES or NO",
        "spam_score": "X-Spam-Score: the points",
        "spam_level": "X-Spam-Level: a star for each point",
        "spam_status": "X-Spam-Status: Yes or No, the points, those that make spam, and each symbol with its own",
        "virus_scanned": "X-Virus-Scanned: what looked for viruses (Gatepost, ClamAV, ICAP), if every filter could say",
    }
    spam_flag: bool = True
    spam_score: bool = True
    spam_level: bool = True
    spam_status: bool = True
    virus_scanned: bool = True


class Webhooks(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "timeout": "seconds for one call",
        "life_hours": "hours until a call that nobody answers is given up",
        "keep_days": "days that calls are kept to be looked at and made again",
        "private": "may webhooks lie on private or loopback addresses?",
        "ca_file": "PEM file with the authorities for https; empty: the system's",
    }
    timeout: Seconds = 10.0
    life_hours: Count = 24
    keep_days: Amount = 7
    private: bool = False
    ca_file: str = ""


class Sending(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "upload_files": "files that a user may have uploaded and not sent",
        "upload_user_bytes": "octets of a user's uploaded files",
        "upload_bytes": "octets of all uploaded files",
        "upload_hours": "hours after which a file that was not sent is removed",
        "drafts": "drafts that a user may have",
        "draft_bytes": "octets of a user's drafts",
        "draft_days": "days that a draft is kept",
        "key_hours": "hours that an Idempotency-Key is remembered",
        "scheduled": "mails that a user may have scheduled",
        "schedule_days": "days ahead that a mail may be scheduled",
        "suppress_days": "days without mail to an address that bounced for good or complained; 0: it is tried again",
        "share_files": "files that a user may share by links",
        "share_user_bytes": "octets of a user's shared files",
        "share_bytes": "octets of all shared files",
        "share_days": "days without a fetch after which a shared file is removed, unless its mail named a day",
    }
    upload_files: Amount = 100
    upload_user_bytes: Amount = 200_000_000
    upload_bytes: Amount = 2_000_000_000
    upload_hours: Count = 24
    drafts: Amount = 500
    draft_bytes: Amount = 200_000_000
    draft_days: Count = 365
    key_hours: Count = 24
    scheduled: Amount = 500
    schedule_days: Count = 365
    suppress_days: Amount = 90
    share_files: Amount = 100
    share_user_bytes: Amount = 200_000_000
    share_bytes: Amount = 2_000_000_000
    share_days: Count = 100


class EmailSettings(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "sender": "the account here whose mail it is that an administrator hands in at /email without `from`",
        "days": "days that is told what became of mail handed in at /email; at least until it is done",
        "attachment_bytes": "octets of a mail's attachments, in Base64, that are listed; of more only the names",
    }
    sender: str = ""
    days: Count = 7
    attachment_bytes: Amount = 65_536


class Trace(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "days": "days that the trace of a mail is kept",
        "refused_days": "days that the trace of a refused mail is kept",
        "refused_bytes": "octets that traces of refused mail may take in all",
    }
    days: Count = 30
    refused_days: Amount = 7
    refused_bytes: Amount = 1_000_000_000


class Notices(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "templates": "folder with templates that replace those of mails and pages of the same name; empty: our own",
    }
    templates: str = ""


class AuditSettings(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {"days": "days that it is kept who changed what"}
    days: Count = 400


class Log(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "format": "text or json",
        "level": "debug, info, warning or error",
    }
    format: str = "text"
    level: str = "info"


class MemorySettings(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "token_bytes": "octets of RAM at most for the tokens of the classifier; 8 for each",
        "token_days": "days after which a token that was of no use is forgotten",
        "tally_bytes": "octets of RAM at most for what each other filter counts; about 400 for each entry",
        "share_lessons": "what one domain teaches the classifier counts for all domains, too",
    }
    token_bytes: Amount = 16_777_216
    token_days: Count = 180
    tally_bytes: Amount = 16_000_000
    share_lessons: bool = False


class Outgoing(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "spam_per_hour": "mails judged spam or infected within an hour, that have their account slowed; 0: never",
        "burst": "recipients within an hour that are never too many for an account that signs in; 0: no limit at all",
        "burst_factor": "times its largest hour so far that an account may send to, where that is more",
        "slow_minutes": "minutes that an account stays slowed after the last reason for it",
        "slow_mails": "mails that a slowed account may send within an hour; others are answered 450 4.7.1",
        "user_mails_per_hour": "mails that an account may hand in within an hour; 0: any number",
        "user_recipients_per_hour": "recipients to whom an account may write within an hour; 0: any number",
        "domain_mails_per_hour": "mails that all of a domain may hand in within an hour, trusted networks too; 0: any",
        "domain_recipients_per_hour": "recipients to whom all of a domain may write within an hour; 0: any number",
        "report_to": "address that is told of these; empty: the domain's administrator (option DOMAIN_ADMIN)",
    }
    spam_per_hour: Amount = 10
    burst: Amount = 1000
    burst_factor: Annotated[float, Meta(ge=1)] = 5.0
    slow_minutes: Count = 60
    slow_mails: Amount = 20
    user_mails_per_hour: Amount = 0
    user_recipients_per_hour: Amount = 0
    domain_mails_per_hour: Amount = 0
    domain_recipients_per_hour: Amount = 0
    report_to: str = ""


class Tenancy(Section, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        "purge_days": "days from a domain's deletion to its purge",
    }
    purge_days: Amount = 30


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Durations in seconds, sizes in octets unless a key says otherwise."""

    smtp: Smtp = msgspec.field(default_factory=Smtp)
    http: Http = msgspec.field(default_factory=Http)
    store: StoreSettings = msgspec.field(default_factory=StoreSettings)
    dns: Dns = msgspec.field(default_factory=Dns)
    relay: Relay = msgspec.field(default_factory=Relay)
    auth: Auth = msgspec.field(default_factory=Auth)
    dkim: DkimSettings = msgspec.field(default_factory=DkimSettings)
    mta_sts: MtaSts = msgspec.field(default_factory=MtaSts)
    tls_reports: TlsReports = msgspec.field(default_factory=TlsReports)
    health: HealthSettings = msgspec.field(default_factory=HealthSettings)
    queue: Queue = msgspec.field(default_factory=Queue)
    limits: Limits = msgspec.field(default_factory=Limits)
    filters: Filters = msgspec.field(default_factory=Filters)
    quarantine: Quarantine = msgspec.field(default_factory=Quarantine)
    headers: Headers = msgspec.field(default_factory=Headers)
    sending: Sending = msgspec.field(default_factory=Sending)
    webhooks: Webhooks = msgspec.field(default_factory=Webhooks)
    email: EmailSettings = msgspec.field(default_factory=EmailSettings)
    trace: Trace = msgspec.field(default_factory=Trace)
    audit: AuditSettings = msgspec.field(default_factory=AuditSettings)
    memory: MemorySettings = msgspec.field(default_factory=MemorySettings)
    outgoing: Outgoing = msgspec.field(default_factory=Outgoing)
    tenancy: Tenancy = msgspec.field(default_factory=Tenancy)
    notices: Notices = msgspec.field(default_factory=Notices)
    log: Log = msgspec.field(default_factory=Log)

    @property
    def hostname(self) -> str:
        return self.smtp.hostname or _own_name()


@cache
def _own_name() -> str:
    """The machine's name; asked once, as the answer may take a look-up."""
    return socket.getfqdn()
