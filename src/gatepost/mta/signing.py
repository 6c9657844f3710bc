"""Signs what leaves by DKIM, and seals what was changed by ARC: finds the keys, and never holds up a mail without."""

import asyncio
from collections import OrderedDict

from gatepost.events import Clock, Metrics, log
from gatepost.mailauth import keys, seal, sign
from gatepost.mailauth.keys import PrivateKey
from gatepost.model.auth import Result
from gatepost.model.dkim import DkimKey, signers
from gatepost.model.envelope import Body
from gatepost.model.query import Query, eq
from gatepost.model.stored import Message
from gatepost.model.tenant import Domain
from gatepost.store.store import Store

RSA = b"rsa-sha256"  # what every verifier of ARC knows
LOADED = 10_000  # keys and names kept in memory


class Signing:
    """One for the process. Keys are read anew when the configuration has changed."""

    def __init__(self, store: Store, *, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._generation = -1
        self._known: dict[str, list[sign.Signer]] = {}
        self._loaded: OrderedDict[int, PrivateKey] = OrderedDict()

    async def fields(self, message: Message, head: bytes, body: Body, offset: int) -> bytes:
        """Return the signature fields to put in front of `head`, b"" where the mail is not to be signed, or can't be.

        `head` is what is sent in place of the body's first `offset` octets.
        """
        if not message.signer:
            return b""
        try:
            known = next(filter(None, map(self._signers, _names(message))), [])
            if not known:
                return b""
            made = await asyncio.to_thread(sign.sign, head, body, offset, known, self._clock() // 1000)
        except Exception as error:  # a mail unsigned is better than a mail lost
            self._metrics.signatures.labels("failed").inc()
            log.error("mail not signed", id=message.id, domain=message.signer, why=repr(error))
            return b""
        self._metrics.signatures.labels("signed").inc(len(known))
        return made

    async def seal(self, message: Message, domain_id: int | None, head: bytes, body: Body, offset: int) -> bytes:
        """Return the ARC set to put in front of a signed mail that was changed here, b"" where there is to be none.

        It bears the RSA key of the domain on whose account the mail goes. A chain that was broken when it came, or at
        which nobody looked, is not carried on (threat 70).
        """
        results = dict(message.proofs).get("Authentication-Results")
        if domain_id is None or results is None or message.arc not in (Result.NONE, Result.PASS) or not _signed(head):
            return b""
        try:
            domain = self._store.reader.get(Domain, domain_id)
            known = self._signers(domain.name) if domain else []
            signer = next((each for each in known if each.algorithm == RSA), None)
            if signer is None:
                return b""
            now = self._clock() // 1000
            made = await asyncio.to_thread(seal.seal, head, body, offset, signer, results, Result(message.arc), now)
        except Exception as error:  # a mail that is not sealed is better than a mail lost
            self._metrics.signatures.labels("failed").inc()
            log.error("mail not sealed", id=message.id, domain=domain_id, why=repr(error))
            return b""
        self._metrics.signatures.labels("sealed").inc(1 if made else 0)
        return made

    def _signers(self, name: str) -> list[sign.Signer]:
        if self._generation != self._store.generation or len(self._known) > LOADED:
            self._generation = self._store.generation
            self._known.clear()
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> list[sign.Signer]:
        domain = self._store.reader.domain(name)
        if domain is None:
            return []
        found = self._store.reader.find(DkimKey, Query(where=eq("domain_id", domain.id))).items
        return [sign.Signer(name, key.selector, self._load(key)) for key in signers(found, name)]

    def _load(self, key: DkimKey) -> PrivateKey:
        if key.id not in self._loaded:
            self._loaded[key.id] = keys.load(self._store.secrets.unseal(key.private))
            while len(self._loaded) > LOADED:
                self._loaded.popitem(last=False)
        return self._loaded[key.id]


def _signed(head: bytes) -> bool:
    lower = head.lower()
    return b"\ndkim-signature" in lower or b"\narc-seal" in lower


def _names(message: Message) -> list[str]:
    """Return whose keys may sign a mail, best first: the author's domain's.

    A mail of our own names the gateway's host in From; the domain that the host lies in speaks for it too.
    """
    labels = message.signer.split(".")
    above = range(1, len(labels) - 1) if not message.client_ip else ()
    return [message.signer, *(".".join(labels[at:]) for at in above)]
