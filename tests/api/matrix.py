"""A small world for the matrix of rights: two brokers with all that hangs below them, and one caller of each role."""

import csv
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from tests.api.house import Api, basic

from gatepost.api import site
from gatepost.api.endpoint import Endpoint
from gatepost.model.access import Admin, Grant, Level, Role, Token
from gatepost.model.connection import Connection, Project
from gatepost.model.dkim import DkimKey
from gatepost.model.envelope import Body
from gatepost.model.policy import default_policy
from gatepost.model.query import Query, eq
from gatepost.model.route import Platform, Transport
from gatepost.model.rules import AttachmentAction, AttachmentRule, CheckType, SenderRule, SenderType, UriAction, UriRule
from gatepost.model.stored import Copy, Delivery, Message
from gatepost.model.tenant import Broker, Customer, Domain, DomainAlias, Group, GroupMember, Language, User
from gatepost.services.access import Access, digest
from gatepost.store.schema import TABLES
from gatepost.store.writer import Writer

TABLE = Path(__file__).with_name("rights.csv")
ROLES = ("sysadmin", "broker", "customer", "domain", "helpdesk", "reader", "user", "nobody")
WHERE = ("own", "foreign", "parent")
UNKNOWN = "00000"
HEADED = {"streamMailEvents": "HEAD"}  # an answer that never ends: its head will do
RAW = b"""From: Ada <ada@world.example>
Subject: Hi
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

hello
--b
Content-Type: text/plain; name=a.txt
Content-Disposition: attachment; filename=a.txt

x
--b--
""".replace(b"\n", b"\r\n")


def rows() -> dict[str, dict[str, str]]:
    """Return the table by operation."""
    with TABLE.open(newline="") as file:
        return {row["operation"]: row for row in csv.DictReader(file)}


def operations() -> dict[str, Endpoint]:
    """Return what needs a row: every operation that asks who is calling."""
    return {each.name: each for each in site.operations() if not each.public}


class Spot:
    """A mailbox with all above and beside it: the names under which requests speak of them."""

    def __init__(self, broker: Broker, customer: Customer, domain: Domain, user: User) -> None:
        self.nodes = {"broker": broker, "customer": customer, "domain": domain}
        self.user = user
        self.names: dict[str, str] = {}


class World:
    """The world in a store. `restore` puts back what a request changed, so that one world serves all."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.tokens = {"sysadmin": api.token}
        self.logins = {"sysadmin": api.first.login}
        self._rows: dict[type[Any], dict[int, Any]] = {}  # of configuration
        self._deliveries: list[int] = []
        self._copies: list[Copy] = []

    async def build(self) -> None:
        await self.api.store.write(self._build)
        kinds = [kind for kind, table in TABLES.items() if table.config]
        reader = self.api.store.reader
        self._rows = {kind: self._read(reader, kind) for kind in kinds}
        self._deliveries = [row.id for row in reader.find(Delivery, Query()).items]
        self._copies = reader.find(Copy, Query()).items

    async def close(self) -> None:
        await self.api.counter.of(Access).settle()
        await self.api.store.close()

    def _build(self, writer: Writer) -> None:
        one, two = (writer.add(Broker(name=name, created_at=0)) for name in ("one", "two"))
        first, second, other = (
            writer.add(Customer(broker_id=broker.id, name=name, created_at=0))
            for broker, name in ((one, "first"), (one, "second"), (two, "other"))
        )
        home = self._domain(writer, one, first, "home.example", "jon")
        sister = self._domain(writer, one, first, "sister.example", "eve")
        cousin = self._domain(writer, one, second, "cousin.example", "bob")
        foreign = self._domain(writer, two, other, "foreign.example", "kim")
        mate = Spot(one, first, home.nodes["domain"], self._user(writer, home.nodes["domain"], "mate"))
        self._furnish(writer, mate, home.names)
        beside = {"user": mate, "customer": cousin}
        for role in ROLES:
            nearby = sister if role in ("domain", "helpdesk", "reader") else beside.get(role, foreign)
            self._caller(writer, role, home)
            setattr(self, role, {"own": home, "foreign": foreign, "parent": nearby})

    def _caller(self, writer: Writer, role: str, home: Spot) -> None:
        if role == "user":
            self.tokens[role] = self._token(writer, user_id=home.user.id)
            self.logins[role] = home.user.email
        elif role != "sysadmin":
            admin = writer.add(Admin(login=f"the {role}", created_at=0))
            node = home.nodes.get(role, home.nodes["domain"])
            named = role if role in ("helpdesk", "reader") else f"{role}_admin"
            if role != "nobody":
                level = Level(type(node).__name__.upper())
                writer.add(Grant(admin_id=admin.id, level=level, node_id=node.id, roles=[named.upper()]))
            self.tokens[role] = self._token(writer, admin_id=admin.id)
            self.logins[role] = admin.login

    def _token(self, writer: Writer, **owner: int) -> str:
        value = f"{writer.count(Token, Query().where):032x}"
        writer.add(Token(name="matrix", digest=digest(value), created_at=0, **owner))
        return value

    def _user(self, writer: Writer, domain: Domain, local: str) -> User:
        return writer.add(
            User(domain_id=domain.id, email=f"{local}@{domain.name}", language=Language.EN, creation_date=0)
        )

    def _domain(self, writer: Writer, broker: Broker, customer: Customer, name: str, local: str) -> Spot:
        domain = writer.add(Domain(customer_id=customer.id, name=name, default_language=Language.EN, creation_date=0))
        policy = writer.add(default_policy(domain.id, name, quarantine=True, retention=True, archive=True))
        domain = writer.change(Domain, domain.id, policy_id=policy.id) or domain
        spare = writer.add(msgspec.structs.replace(policy, id=0, name="spare"))
        platform = Platform(
            domain_id=domain.id,
            name="main",
            transport_dest="127.0.0.1",
            transport_type=Transport.SMTP,
            transport_port=9,
            default=True,
        )
        writer.add(DkimKey(domain_id=domain.id, selector="kept", public="AA==", private="", created_at=0))
        group = writer.add(Group(domain_id=domain.id, email=f"all@{name}"))
        rule = {"domain_id": domain.id, "priority": 1, "created_date": 0}
        made = {
            "policyId": spare,
            "platformId": writer.add(platform),
            "aliasId": writer.add(DomainAlias(domain_id=domain.id, name=f"also-{name}")),
            "groupId": group,
            "addressId": writer.add(GroupMember(group_id=group.id, email=f"{local}@{name}")),
            "attachmentId": writer.add(
                AttachmentRule(action=AttachmentAction.DENY, check_type=CheckType.FILENAME, filter="[.]exe$", **rule)
            ),
            "uriId": writer.add(UriRule(action=UriAction.WHITELIST_URI_HOST, filter="bad.example", **rule)),
            "roleId": writer.add(Role(domain_id=domain.id, name="NIGHT", permissions=["QUEUE_READ"], created_at=0)),
        }
        spot = Spot(broker, customer, domain, self._user(writer, domain, local))
        project = writer.add(Project(customer_id=customer.id, name=f"project-of-{local}", created_at=0))
        writer.add(
            Connection(project_id=project.id, name="relay", host="127.0.0.1", port=9, address_to_test="a@far.example")
        )
        names = {name: self.api.ids.show(row.id) for name, row in made.items()}
        self._furnish(writer, spot, {**names, "projectName": project.name})
        return spot

    def _furnish(self, writer: Writer, spot: Spot, names: dict[str, str]) -> None:
        """Add what hangs on the mailbox, and name everything."""
        show, user, domain = self.api.ids.show, spot.user, spot.nodes["domain"]
        mail_id, held_id, delivery_id = self._mail(writer, user)
        nodes = {f"{name}Id": show(node.id) for name, node in spot.nodes.items()}
        holders = {f"{name}Admin": show(self._admin(writer, name, node)) for name, node in spot.nodes.items()}
        spot.names = {
            **names,
            **nodes,
            **holders,
            "platformAdmin": show(self._admin(writer, "platform", None)),
            "adminToken": show(self._token_row(writer, admin_id=self._admin(writer, "domain", domain))),
            "userToken": show(self._token_row(writer, user_id=user.id)),
            "domainRule": show(self._rule(writer, domain, None)),
            "userRule": show(self._rule(writer, domain, user)),
            "userId": show(user.id),
            "userIdOrEmail": user.email,
            "email": user.email,
            "domainName": domain.name,
            "mailId": mail_id,
            "heldId": show(held_id),
            "deliveryId": show(delivery_id),
        }

    def _admin(self, writer: Writer, name: str, node: Any) -> int:
        """Return one who holds a little on a node, made once."""
        level, of = Level(name.upper()), node.id if node else 0
        login = f"little {name} {of}"
        if found := writer.first(Admin, eq("login", login)):
            return found.id
        admin = writer.add(Admin(login=login, created_at=0))
        writer.add(Grant(admin_id=admin.id, level=level, node_id=of, permissions=["DOMAINS_READ"]))
        return admin.id

    def _token_row(self, writer: Writer, **owner: int) -> int:
        number = writer.count(Token, Query().where)
        return writer.add(Token(name="kept", digest=f"{number:064x}", created_at=0, **owner)).id

    def _rule(self, writer: Writer, domain: Domain, user: User | None) -> int:
        rule = SenderRule(
            domain_id=domain.id,
            user_id=user.id if user else None,
            owner=user.email if user else domain.name,
            value="kept.example",
            type=SenderType.BLOCK,
            created_date=0,
        )
        held = writer.first(SenderRule, eq("owner", rule.owner))
        return (held or writer.add(rule)).id

    def _mail(self, writer: Writer, user: User) -> tuple[str, int, int]:
        """Keep one mail for a mailbox, and a delivery of it that is held; return its id and theirs."""
        now = self.api.clock()
        mail_id = f"{now + user.id:012x}{user.id:020x}"
        message = Message(
            id=mail_id,
            received=now,
            size=len(RAW),
            direction="in",
            sender="ada@world.example",
            client_ip="192.0.2.7",
            helo="client.example",
            message_id="",
            subject="Hi",
            header_from="Ada <ada@world.example>",
            header_to=user.email,
            header_cc="",
            sent=None,
            has_attachments=True,
        )
        later = now + 366 * 86_400_000
        about: dict[str, Any] = {"mail_id": mail_id, "domain_id": user.domain_id}
        copy = Copy(
            mailbox=user.email,
            user_id=user.id,
            folder="Quarantine",
            category="SPAM",
            score=9.0,
            infected=False,
            stored_at=now,
            expires_at=later,
            **about,
        )
        delivery = Delivery(
            recipient=user.email,
            sender="ada@world.example",
            due=now,
            created=now,
            expires=later,
            state="held",
            **about,
        )
        writer.keep(message, Body(len(RAW), RAW), [copy], [delivery], [], later)
        ((held,), (waits,)) = (
            writer.find(kind, Query(where=eq("mail_id", mail_id))).items for kind in (Copy, Delivery)
        )
        return mail_id, held.id, waits.id

    # Requests.

    def spot(self, role: str, where: str) -> Spot:
        found: Spot = getattr(self, role)[where]
        return found

    async def ask(
        self,
        item: Endpoint,
        row: dict[str, str],
        role: str,
        where: str,
        *,
        pieces: AsyncIterator[bytes] | None = None,
    ) -> httpx2.Response:
        """Send the row's request as a role, about objects that are its own, its parent's, foreign or `missing`.

        `pieces` are sent in the place of its body. What is refused must have changed nothing of configuration.
        """
        names = self.spot(role, "foreign" if where == "missing" else where).names
        if where == "missing":
            names = {name: "nobody@foreign.example" if "@" in text else UNKNOWN for name, text in names.items()}
            names["domainName"] = "missing.example"
        path, body = (_filled(row[column], names) for column in ("path", "body"))
        self.api.clock.now += 6_100  # nobody is slowed down for asking often
        before = self.api.store.generation
        headers = {"X-Ignore-MX": "true", "X-Access-Reason": "to try the table"}
        if "bearer" not in item.dialect.schemes:
            headers |= basic(self.logins[role], self.tokens[role])
        answer = await self.api.ask(
            HEADED.get(item.name, item.method),
            path,
            raw=pieces or (body.encode() if body else None),
            headers=headers,
            token=self.tokens[role],
        )
        assert answer.status_code < 400 or self.api.store.generation == before, f"{role} was refused too late"
        if item.method != "GET" and answer.status_code < 300:
            await self.api.store.write(self._restore)
        return answer

    def _read(self, reader: Any, kind: type[Any]) -> dict[int, Any]:
        found = {row.id: row for row in reader.find(kind, Query()).items}
        if kind is Token:
            return {number: msgspec.structs.replace(row, last_use=None) for number, row in found.items()}
        return found

    def _restore(self, writer: Writer) -> None:
        for number in self._deliveries:
            writer.change(Delivery, number, state="held", done_at=None)
        for copy in self._copies:
            if writer.get(Copy, copy.id) is None:
                writer.add(copy)
        for kind, kept in self._rows.items():
            for number, row in self._read(writer, kind).items():
                if row != kept.get(number):
                    writer.remove(kind, eq("id", number))
        for kind, kept in self._rows.items():
            there = self._read(writer, kind)
            for number, row in kept.items():
                if number not in there:
                    writer.add(row)


def _filled(text: str, names: dict[str, str]) -> str:
    return re.sub(r"<(\w+)>", lambda found: names[found[1]], text)
