"""Who an address is: recipient -> domain -> user or group, with policy, platform and rules; and who may send what."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import islice

import msgspec

from gatepost.events import Clock, log
from gatepost.model.address import Address, parse_address
from gatepost.model.envelope import Client, Dsn, Login, Recipient, Role
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.route import Platform
from gatepost.model.tenant import Domain, DomainStatus, Group, GroupMember, Provider, User, UserStatus
from gatepost.mta import srs
from gatepost.mta.claims import Claims
from gatepost.mta.holders import Holders, holders
from gatepost.mta.networks import Networks
from gatepost.mta.providers import Providers
from gatepost.mta.rulebook import Rulebook
from gatepost.mta.served import DomainView, check_status, read_domain
from gatepost.mta.suppress import Suppressed
from gatepost.settings import Settings
from gatepost.store.remembered import Remembered
from gatepost.store.store import Store, Writer

Verify = Callable[[Address, Platform], Awaitable[None]]
"""Asks a platform whether an address exists; raises Problem(UNKNOWN_USER) or Problem(UNVERIFIED)."""

HasMail = Callable[[str], Awaitable[bool]]
"""Says whether a domain takes mail at all: False for a null MX (RFC 7505); unknown counts as True."""


class Directory:
    """Resolves addresses from the store; what it has read is good until a configuration row changes."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        clock: Clock,
        srs_key: bytes,
        verify: Verify | None,
        has_mail: HasMail | None,
        providers: Providers | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._srs_key = srs_key
        self._verify = verify if settings.smtp.verify_recipients else None
        self._has_mail = has_mail
        self._suppressed = Suppressed(store)
        memory = Remembered(store)
        self._known = memory.known
        self._domains: dict[str, DomainView | None] = memory.cache()
        self._ours: dict[Address, Recipient | Group] = memory.cache()  # by what a client names
        self._users: dict[str, User | None] = memory.cache()
        self._groups: dict[str, Group | None] = memory.cache()
        self._policies: dict[int, Policy | None] = memory.cache()
        self._platforms: dict[int, Platform | None] = memory.cache()
        self._speakers: dict[tuple[str, tuple[Provider, ...]], DomainView | None] = memory.cache()
        self.holders = Holders(self._domain, self._user, self._group)
        self._networks = Networks(store, memory, providers)
        self._rulebook = Rulebook(store, memory, clock, served=self.served, user=self._user)

    # What the front door asks.

    async def admit(self, client: Client, sender: Address | None) -> None:
        """Raise Problem where this client may not send as `sender` (MAIL FROM)."""
        if sender is None:
            return
        if client.login is not None:
            if not self.may_send(client.login.user_id, sender):
                raise Problem(Kind.SENDER_REFUSED, "this login may not send as that address")
        elif client.is_stranger and not await self._takes_mail(sender):
            raise Problem(Kind.NULL_MX, "the sender's domain takes no mail (null MX)")

    async def _takes_mail(self, sender: Address) -> bool:
        if self._has_mail is None or sender.literal or self.served(sender.domain) is not None:
            return True
        return await self._has_mail(sender.domain)

    async def resolve(
        self, address: Address, client: Client, sender: Address | None, dsn: Dsn = Dsn()
    ) -> tuple[Recipient, ...]:
        """Return the recipients that an address stands for (a group: several); raise Problem where it is refused."""
        if not address.domain:
            return await self._postmaster(address, client, sender, dsn)
        view = self.served(address.domain)
        if view is None:
            return (self._outside(address, client, sender, dsn),)
        check_status(view.domain)
        back = srs.reverse(address, key=self._srs_key, now=self._clock()) if sender is None else None
        if back is not None:
            return (self._way_back(back, address, view, dsn),)
        found = self._known(self._ours, address, lambda: self._find(address))
        if isinstance(found, Group):
            return await self._expand(found, address, view, sender, dsn)
        return (await self._verified(found, dsn),)

    def served(self, name: str) -> DomainView | None:
        """Return the domain that `name` is, or is another name of; None where it isn't served."""
        return self._known(self._domains, name, lambda: read_domain(self._store.reader, name))

    def enabled(self, name: str) -> Domain | None:
        """Return the domain that `name` is, or is another name of, if mail is taken for it now."""
        domain = self._domain(name)
        return domain if domain is not None and domain.status is DomainStatus.ENABLED else None

    def own_name(self, address: Address) -> Address | None:
        """Return an address of ours under its domain's own name; None where the domain isn't served."""
        view = self.served(address.domain)
        return Address(address.local, view.domain.name) if view is not None else None

    def may_send(self, user_id: int, address: Address) -> bool:
        """Tell whether a user may send as `address`: his own or his groups', by any domain name (rules 11)."""
        view = self.served(address.domain)
        user = self._store.reader.get(User, user_id)
        if view is None or user is None or user.domain_id != view.domain.id:
            return False
        key = Address(address.local, view.domain.name).key
        if key == user.email:
            return True
        group = self._group(key)
        return group is not None and user.email in self._members(group)

    def may_write(self, client: Client, sender: Address | None, author: Address) -> bool:
        """Tell whether mail that leaves on the account of `sender` may name `author` in From (rules 10, 11)."""
        if client.login is not None:
            return self.may_send(client.login.user_id, author)
        if sender is not None:
            ours, theirs = self.served(sender.domain), self.served(author.domain)
        else:  # whoever names a trusted network may be meant; of a provider's, who pays for it alone
            theirs = self.may_relay(client, author)
            ours = self.may_relay(client, None) if client.is_stranger else theirs
        return ours is not None and theirs is not None and ours.domain.id == theirs.domain.id

    def may_relay(self, client: Client, sender: Address | None) -> DomainView | None:
        """Return the domain on whose account this client may send mail to the outside; None where there is none.

        The null sender (a report, a receipt) speaks for nobody yet: it leaves on the account of the login, of the
        first domain that names the client's network, or of the only one that sends through its provider; its From is
        held to that once it is read.
        """
        if sender is None and client.login is not None:
            sender = parse_address(client.login.email)
        if sender is None:
            network = (client.ip, client.providers)
            return self._known(self._speakers, network, lambda: self._speaks_for(client)) if client.is_ours else None
        view = self.served(sender.domain)
        if view is None or view.domain.status is not DomainStatus.ENABLED:
            return None
        policy = self._sender_policy(sender, view)
        if policy is None or not policy.outgoing:
            return None
        if client.login is not None:
            return view if client.login.domain_id == view.domain.id else None
        if client.role is Role.TRUSTED and view.domain.sends_from(client.ip):
            return view
        return view if view.domain.sends_through(client.providers) else None

    def _speaks_for(self, client: Client) -> DomainView | None:
        """Return the first domain that names the client's subnet, or the only one that sends through its provider."""
        own = (self.may_relay(client, Address("postmaster", domain.name)) for domain in self._networks.senders(client))
        found = list(islice(filter(None, own), 2))
        return found[0] if len(found) == 1 or (found and client.role is Role.TRUSTED) else None

    def trusts(self, ip: str) -> bool:
        """Tell whether an address lies in the outgoing subnets of a domain that takes mail now."""
        return self._networks.trusts(ip)

    async def through(self, client: Client, sender: Address | None) -> tuple[Provider, ...]:
        """Return the providers by whose network a client may send as `sender`; raise Problem(UNAVAILABLE)."""
        return await self._networks.through(client, sender, self.enabled(sender.domain) if sender else None)

    def with_rules(self, recipient: Recipient, claims: Claims) -> Recipient:
        """Return the recipient with the sender rules that bear on a mail, and its domain's other rules."""
        return self._rulebook.applied(recipient, recipient.domain, claims) if recipient.domain else recipient

    def confirm(self, recipients: Iterable[Recipient], login: Login | None) -> Callable[[Writer], None]:
        """Raise Problem(UNAVAILABLE) as `Holders.check`; return what looks again where the mail is written."""
        recipients, seen = tuple(recipients), self._store.generation
        self.holders.check(recipients, login)

        def again(writer: Writer) -> None:
            if writer.generation != seen:  # a change was on its way to the disc
                holders(writer).check(recipients, login)

        return again

    def stand_in(self, sender: Address | None, domain: str) -> str | None:
        """Return the address in `domain` that stands for a foreign sender (SRS); None where the sender may stay."""
        if sender is None or self.served(sender.domain) is not None:
            return None
        return srs.rewrite(sender, domain, key=self._srs_key, now=self._clock())

    def policy_of(self, address: Address) -> Policy | None:
        """Return the policy that holds for an address of ours; None for any other."""
        view = self.served(address.domain)
        return self._sender_policy(address, view) if view else None

    def platform(self, platform_id: int) -> Platform | None:
        """Return a platform by its id; None where it is gone."""
        return self._known(self._platforms, platform_id, lambda: self._store.reader.get(Platform, platform_id))

    # How an address is resolved.

    def _find(self, address: Address) -> Recipient | Group:
        view = self.served(address.domain)  # what is kept is made of nothing that was read before a commit
        if view is None:
            raise Problem(Kind.RELAYING_DENIED, "relaying denied")
        own = Address(address.local, view.domain.name)
        group = self._group(own.key)
        if group is not None and self._user(own.key) is None:
            return group
        return self._mailbox(own, address, view)

    def _mailbox(self, own: Address, given: Address, view: DomainView) -> Recipient:
        """Return who a mailbox is; without an account he may not exist."""
        user = self._user(own.key)
        if user is not None and user.status is UserStatus.DISABLED:
            raise Problem(Kind.DISABLED_USER, "the mailbox is disabled")
        policy = self._policy_of(user, view)
        if policy is None or not policy.incoming:
            raise Problem(Kind.POLICY_REFUSED, "the mailbox takes no mail from here")
        platform = self._platform_of((user.platform_id if user else None) or view.platform_id)
        return Recipient(
            address=own,
            given=given,
            domain_id=view.domain.id,
            domain=view.domain.name,
            user_id=user.id if user else None,
            policy=policy,
            platform_id=platform.id,
            provision=user is None and view.domain.auto_provisioning_on,
            sender_verify=_verifies(view, user),
        )

    async def _verified(self, recipient: Recipient, dsn: Dsn) -> Recipient:
        """Return a mailbox, once it is known to exist, with what the mail's sender asked for."""
        if recipient.user_id is None and self._verify is not None:
            await self._verify(recipient.address, self._platform_of(recipient.platform_id))
        return recipient if dsn == recipient.dsn else msgspec.structs.replace(recipient, dsn=dsn)

    def _outside(self, address: Address, client: Client, sender: Address | None, dsn: Dsn) -> Recipient:
        view = self.may_relay(client, sender)
        if view is None or address.literal:
            raise Problem(Kind.RELAYING_DENIED, "relaying denied")
        self._suppressed.check(view.domain.id, address, self._clock())
        policy = self._sender_policy(sender, view) if sender else view.policy
        return self._leaving(address, address, view, policy, dsn)

    def _leaving(self, to: Address, given: Address, view: DomainView, policy: Policy | None, dsn: Dsn) -> Recipient:
        name = view.domain.name
        return Recipient(address=to, given=given, domain_id=view.domain.id, domain=name, policy=policy, dsn=dsn)

    def _way_back(self, back: Address, given: Address, view: DomainView, dsn: Dsn) -> Recipient:
        """A bounce to one of our SRS addresses goes to the sender it stands for."""
        if self.served(back.domain) is not None:
            raise Problem(Kind.UNKNOWN_USER, "no such mailbox")
        return self._leaving(back, given, view, view.policy, dsn)

    async def _postmaster(self, at: Address, client: Client, sender: Address | None, dsn: Dsn) -> tuple[Recipient, ...]:
        """`<postmaster>` without a domain is always taken (RFC 5321 4.5.1): the setting's, else the first domain's."""
        name = self._settings.smtp.postmaster
        target = parse_address(name) if name else Address("postmaster", self._first_domain())
        view = self.served(target.domain)
        if view is None or view.policy is None or view.platform_id is None:
            raise Problem(Kind.UNVERIFIED, "no domain is set up for the postmaster yet")
        with suppress(Problem):  # as if he were named himself, where that is taken
            named = await self.resolve(target, client, sender, dsn)
            return tuple(msgspec.structs.replace(each, given=at) for each in named)
        plain = Recipient(
            address=Address(target.local, view.domain.name),
            given=at,
            domain_id=view.domain.id,
            domain=view.domain.name,
            policy=view.policy,
            platform_id=view.platform_id,
            sender_verify=view.domain.sender_verify_on,
            dsn=dsn,
        )
        return (plain,)

    # Groups (rules 9).

    async def _expand(
        self, group: Group, given: Address, view: DomainView, sender: Address | None, dsn: Dsn
    ) -> tuple[Recipient, ...]:
        found: dict[str, Recipient] = {}
        problems: list[Problem] = []
        asked, dsn = dsn, Dsn(dsn.notify & {"NEVER"}, ret=dsn.ret, envid=dsn.envid)  # a report would name a member
        for member in self._all_members(group):
            try:
                recipient = await self._member(member, given, view, sender, dsn)
            except Problem as problem:
                problems.append(problem)
                log.info("a group's member is left out", group=group.email, member=member, why=problem.detail)
            else:
                through = msgspec.structs.replace(recipient, group=group.email, group_dsn=asked)
                found.setdefault(recipient.address.key, through)
        temporary = next((p for p in problems if p.kind in (Kind.UNVERIFIED, Kind.PENDING_DOMAIN)), None)
        if temporary is not None:
            raise temporary
        if not found:
            # Said of the group, so that its authors don't learn the members.
            if not problems and self._members(group):
                raise Problem(Kind.LOOP, "the group leads back to itself")
            raise Problem(Kind.UNKNOWN_USER, "no such mailbox", members=len(problems))
        return tuple(found.values())

    async def _member(self, text: str, given: Address, view: DomainView, sender: Address | None, dsn: Dsn) -> Recipient:
        address = parse_address(text)
        inside = self.served(address.domain)
        if inside is not None:
            check_status(inside.domain)
            return await self._verified(self._mailbox(Address(address.local, inside.domain.name), given, inside), dsn)
        if view.policy is None or not view.policy.incoming:
            raise Problem(Kind.POLICY_REFUSED, "the group takes no mail from here")
        self._suppressed.check(view.domain.id, address, self._clock())
        leaving, verify = self._leaving(address, given, view, view.policy, dsn), view.domain.sender_verify_on
        rewritten = self.stand_in(sender, view.domain.name)
        return msgspec.structs.replace(leaving, clean_only=True, sender=rewritten, sender_verify=verify)

    def _all_members(self, group: Group) -> list[str]:
        """The addresses behind a group, groups in it opened, loops cut; raise Problem(LOOP) when they are too many."""
        seen = {group.email}
        flat: dict[str, None] = {}
        waiting = [group]
        while waiting:
            for member in self._members(waiting.pop()):
                if member in seen:
                    continue
                seen.add(member)
                inner = self._inner_group(member)
                if inner is None:
                    flat[member] = None
                elif inner.email not in seen or inner.email == member:
                    seen.add(inner.email)
                    waiting.append(inner)
                if len(seen) > self._settings.limits.group_members + 1:
                    raise Problem(Kind.LOOP, "the group stands for too many addresses")
        return list(flat)

    def _inner_group(self, member: str) -> Group | None:
        address = parse_address(member)
        view = self.served(address.domain)
        if view is None:
            return None
        key = Address(address.local, view.domain.name).key
        return None if self._user(key) else self._group(key)

    def _members(self, group: Group) -> list[str]:
        page = self._store.reader.find(GroupMember, Query(where=eq("group_id", group.id)))
        return [member.email for member in page.items]

    # What is read from the store.

    def _domain(self, name: str) -> Domain | None:
        view = self.served(name)
        return view.domain if view is not None else None

    def _user(self, key: str) -> User | None:
        return self._known(self._users, key, lambda: self._store.reader.first(User, eq("email", key)))

    def _group(self, key: str) -> Group | None:
        return self._known(self._groups, key, lambda: self._store.reader.first(Group, eq("email", key)))

    def _policy(self, policy_id: int) -> Policy | None:
        return self._known(self._policies, policy_id, lambda: self._store.reader.get(Policy, policy_id))

    def _policy_of(self, user: User | None, view: DomainView) -> Policy | None:
        return (self._policy(user.policy_id) if user and user.policy_id else None) or view.policy

    def _platform_of(self, platform_id: int | None) -> Platform:
        platform = self.platform(platform_id) if platform_id else None
        if platform is None:
            raise Problem(Kind.UNVERIFIED, "the domain has no mail server configured yet")
        return platform

    def _sender_policy(self, sender: Address, view: DomainView) -> Policy | None:
        return self._policy_of(self._user(Address(sender.local, view.domain.name).key), view)

    def _first_domain(self) -> str:
        first = self._store.reader.first(Domain, eq("status", DomainStatus.ENABLED))
        if first is None:
            raise Problem(Kind.UNVERIFIED, "no domain is set up for the postmaster yet")
        return first.name


def _verifies(view: DomainView, user: User | None) -> bool:
    return view.domain.sender_verify_on and (user is None or user.sender_verify_on)
