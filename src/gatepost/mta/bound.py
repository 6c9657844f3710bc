"""Which connection mail leaves by, at once or out of a folder: what it names, else its account's or domain's."""

from gatepost.model.address import Address
from gatepost.model.connection import Connection, Project
from gatepost.model.envelope import Direction, Envelope, Recipient
from gatepost.model.query import eq
from gatepost.model.stored import Copy, Message
from gatepost.model.tenant import Domain, User
from gatepost.store.store import Reader


def bound(reader: Reader, envelope: Envelope, recipient: Recipient) -> int | None:
    """Return the id of the connection that a mail leaves by; None for mail that stays, or by no connection."""
    if envelope.direction is not Direction.OUT or not recipient.leaves:
        return None
    if envelope.connection_id is not None:
        return envelope.connection_id
    domain = reader.get(Domain, recipient.domain_id) if recipient.domain_id else None
    if domain is None:
        return None
    return _standing(reader, domain, _account(reader, envelope, domain))


def bound_later(reader: Reader, copy: Copy, message: Message) -> int | None:
    """Return the same for a mail that was held when it was to leave: by who sends it as things stand now."""
    domain = reader.get(Domain, copy.domain_id) if message.direction == Direction.OUT.value else None
    if domain is None:
        return None
    if copy.connection_id is not None and _of_customer(reader, copy.connection_id, domain):
        return copy.connection_id
    user = reader.first(User, eq("email", copy.mailbox)) if message.sender or message.login else None
    return _standing(reader, domain, user)


def _standing(reader: Reader, domain: Domain, user: User | None) -> int | None:
    named = (user.connection_id if user else None, domain.connection_id)
    return next((each for each in named if each is not None and _of_customer(reader, each, domain)), None)


def _account(reader: Reader, envelope: Envelope, domain: Domain) -> User | None:
    if envelope.client.login is not None:
        return reader.get(User, envelope.client.login.user_id)
    if envelope.sender is None:
        return None
    return reader.first(User, eq("email", Address(envelope.sender.local, domain.name).key))


def _of_customer(reader: Reader, connection_id: int, domain: Domain) -> bool:
    """A domain that moved to another customer leaves his connections behind."""
    connection = reader.get(Connection, connection_id)
    project = reader.get(Project, connection.project_id) if connection and connection.project_id else None
    return project is not None and project.customer_id == domain.customer_id
