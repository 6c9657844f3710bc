"""Fetches a domain's MTA-STS policy (RFC 8461 3.3): from one address, its certificate checked, nothing followed."""

import asyncio
import ssl

import httpx2
import msgspec

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.model.network import is_public
from gatepost.mta.poster import bounded
from gatepost.settings import MtaSts

LARGEST = 65_536  # octets of a policy (RFC 8461 3.3)
SECONDS = 5.0
MODES = ("enforce", "testing", "none")
UNFETCHED, INVALID, UNTRUSTED = "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"


class NoPolicy(Exception):
    """There is no policy that senders would take; the text says why, `fault` in the words of TLS reports.

    It is "" where it is not told that there is a policy (RFC 8460 4.3).
    """

    def __init__(self, text: str, fault: str = "") -> None:
        super().__init__(text)
        self.fault = fault


class Policy(msgspec.Struct, frozen=True):
    """What a domain asks of its senders: in mode "enforce" they hand mail to hosts that `mx` matches, or not at all."""

    mode: str
    mx: tuple[str, ...]
    max_age: int  # seconds

    def names(self, host: str) -> bool:
        """Tell whether a host may take the domain's mail; `*.` stands for one label (RFC 8461 4.1)."""
        above = f"*.{host.partition('.')[2]}"
        return any(pattern.lower() in (host, above) for pattern in self.mx)


class Fetcher:
    """One for the process."""

    def __init__(self, resolver: Resolver, settings: MtaSts, *, private: bool) -> None:
        """`private`: policies may lie on private addresses, as those of MX hosts may."""
        self._resolver = resolver
        self._settings = settings
        self._private = private
        self._context: ssl.SSLContext | None = None

    async def fetch(self, domain: str) -> Policy:
        """Return the policy that a domain serves now; raise NoPolicy."""
        host = f"mta-sts.{domain}"
        try:
            async with asyncio.timeout(SECONDS):
                text = await self._get(host, await self._address(host))
        # TimeoutError is an OSError; the client raises ValueError over places to go on to, though it goes to none.
        except (Missing, DnsFailure, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise NoPolicy(f"no policy from {host}: {str(error) or 'no answer in time'}", _fault(error)) from error
        return read(text)

    async def _address(self, host: str) -> str:
        found = await self._resolver.addresses(host)
        allowed = [ip for ip in found if self._private or is_public(ip)]
        if not allowed:
            raise Missing(f"{host} has no public address")
        return allowed[0]

    async def _get(self, host: str, ip: str) -> bytes:
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file or None)
        place = f"[{ip}]" if ":" in ip else ip
        url = f"https://{place}:{self._settings.port}/.well-known/mta-sts.txt"
        headers = {"Host": host, "User-Agent": "Gatepost", "Accept-Encoding": "identity"}
        client = bounded(self._context)
        asked = client.stream("GET", url, headers=headers, extensions={"sni_hostname": host})
        async with client, asked as answer:
            if answer.status_code != 200:
                raise NoPolicy(f"{host} answers {answer.status_code}", UNFETCHED)
            if int(answer.headers.get("Content-Length", 0)) > LARGEST:
                raise NoPolicy(f"the policy at {host} is too large", INVALID)
            text = bytearray()
            async for chunk in answer.aiter_raw():
                text += chunk
                await asyncio.sleep(0)  # many may have come at once
                if len(text) > LARGEST:
                    raise NoPolicy(f"the policy at {host} is too large", INVALID)
            return bytes(text)


def _fault(error: BaseException) -> str:
    """A certificate that is not trusted lies below what the client says of it."""
    beneath: BaseException | None = error
    while beneath is not None and not isinstance(beneath, ssl.SSLCertVerificationError):
        beneath = beneath.__cause__ or beneath.__context__
    return UNTRUSTED if beneath is not None else UNFETCHED


def read(text: bytes) -> Policy:
    """Read a policy (RFC 8461 3.2); raise NoPolicy."""
    pairs = [line.partition(":") for line in text.decode("utf-8", "replace").splitlines()]
    members = [(name.strip(), value.strip()) for name, colon, value in pairs if colon]
    known = dict(reversed(members))  # of a name given twice the first counts
    age = known.get("max_age", "")
    policy = Policy(known.get("mode", ""), tuple(value for name, value in members if name == "mx"), 0)
    if known.get("version") != "STSv1":
        raise NoPolicy("the policy has no version: STSv1", INVALID)
    if policy.mode not in MODES:
        raise NoPolicy(f"the policy's mode is none of {', '.join(MODES)}", INVALID)
    if not age.isascii() or not age.isdigit() or len(age) > 10:
        raise NoPolicy("the policy has no max_age", INVALID)
    if not policy.mx and policy.mode != "none":
        raise NoPolicy("the policy names no mx", INVALID)
    return msgspec.structs.replace(policy, max_age=int(age))
