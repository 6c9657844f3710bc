"""What each account holds: grants and roles made into reaches, remembered until configuration changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from gatepost.model.access import Admin, Caller, Grant, Level, Reach, Role
from gatepost.model.query import Op, Query, Where, eq
from gatepost.model.rights import END_USERS, OWN, expand
from gatepost.model.tenant import Customer, Domain, User
from gatepost.services.accounts import Account
from gatepost.store.remembered import Remembered
from gatepost.store.store import Reader, Store

Rights = Mapping[str, Reach]
Node = tuple[Level, int]

REMEMBERED = 10_000  # accounts


class Book:
    """Makes callers of accounts. What is read at one generation of the store is true until the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        memory = Remembered(store, most=REMEMBERED)
        self._known = memory.known
        self._rights: dict[int, Rights] = memory.cache()

    def caller(self, account: Account, **proof: Any) -> Caller:
        """Return an account as it calls, with its rights as they stand now and what it proved itself by."""
        if isinstance(account, User):
            return Caller(user_id=account.id, login=account.email, rights=self._user(account), **proof)
        rights = {} if account.sys_admin else self._admin(account)
        return Caller(admin_id=account.id, login=account.login, sys_admin=account.sys_admin, rights=rights, **proof)

    def _user(self, user: User) -> Rights:
        domain = self._store.reader.get(Domain, user.domain_id)
        return user_rights(user, domain) if domain else {}

    def _admin(self, admin: Admin) -> Rights:
        return self._known(self._rights, admin.id, lambda: admin_rights(self._store.reader, admin.id))


def user_rights(user: User, domain: Domain) -> Rights:
    """Return what the owner of a mailbox may do with it: what his domain grants its end users."""
    own = Reach(users=frozenset({user.id}))
    return dict.fromkeys(granted_to_users(domain), own)


def granted_to_users(domain: Domain) -> frozenset[str]:
    """Return the permissions of a domain's end users."""
    return OWN if domain.user_permissions is None else END_USERS.intersection(domain.user_permissions)


def admin_rights(reader: Reader, admin_id: int) -> Rights:
    """Return what an administrator holds by his grants."""
    held: defaultdict[str, set[Node]] = defaultdict(set)
    for grant in reader.find(Grant, Query(where=eq("admin_id", admin_id))).items:
        for permission in permissions_of(reader, grant):
            held[permission].add((grant.level, grant.node_id))
    reaches = {nodes: reach(reader, nodes) for nodes in {frozenset(nodes) for nodes in held.values()}}
    return {permission: reaches[frozenset(nodes)] for permission, nodes in held.items()}


def permissions_of(reader: Reader, grant: Grant) -> set[str]:
    """Return the permissions of a grant, those of its roles among them."""
    return named(reader, grant.level, grant.node_id, grant.permissions, grant.roles)


def named(reader: Reader, level: Level, node_id: int, permissions: Iterable[str], roles: Iterable[str]) -> set[str]:
    """Return what names of permissions and roles stand for on a node."""
    own = reader.find(Role, Query(where=eq("domain_id", node_id))).items if level is Level.DOMAIN and roles else []
    return expand(permissions, roles, ((role.name, role.permissions) for role in own))


def reach(reader: Reader, nodes: Iterable[Node]) -> Reach:
    """Return all that lies on or below some nodes."""
    at: defaultdict[Level, set[int]] = defaultdict(set)
    for level, node_id in nodes:
        at[level].add(node_id)
    if Level.PLATFORM in at:
        return Reach(everywhere=True)
    brokers, customers, domains = at[Level.BROKER], at[Level.CUSTOMER], at[Level.DOMAIN]
    if brokers:
        customers |= set(reader.ids(Customer, Where("broker_id", Op.IN, list(brokers))))
    if customers:
        domains |= set(reader.ids(Domain, Where("customer_id", Op.IN, list(customers))))
    return Reach(brokers=frozenset(brokers), customers=frozenset(customers), domains=frozenset(domains))
