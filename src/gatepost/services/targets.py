"""Where mail may be handed to and connections made: public hosts, private ones by setting (contract A72)."""

import ipaddress
import re
from collections.abc import Sequence

from gatepost.dns import Missing, Resolver
from gatepost.model.access import Caller
from gatepost.model.address import BadAddress, domain_name
from gatepost.model.network import is_forbidden, is_public
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Hop
from gatepost.services.records import unprocessable

Server = tuple[str, int, str]
"""A host as it is given, its port, and where the host stands in the request."""


class Targets:
    """The rules of `[relay] private_platforms`: sysadmin, everyone or nobody."""

    def __init__(self, private: str) -> None:
        self._private = private

    def host(self, caller: Caller, text: str, at: str) -> str:
        """Return a host's name or address in its one form; raise MALFORMED, UNPROCESSABLE."""
        address = _address(text)
        if address is None:
            return self._named(caller, text, at)
        self.check(caller, str(address), at)
        return str(address)

    def servers(self, caller: Caller, given: Sequence[Server], kept: Sequence[Hop] = ()) -> tuple[list[str], bool]:
        """Return servers' hosts as `host` does, and whether they may be at private addresses.

        Those that stay as they are `kept` may what they might, whoever sends them back.
        """
        may, known = all(hop.private for hop in kept), {(hop.host, hop.port) for hop in kept}
        if may and known.issuperset((text, port) for text, port, _ in given):
            return [text for text, _, _ in given], may
        hosts = [self.host(caller, text, at) for text, _, at in given]
        same = known.issuperset(zip(hosts, (port for _, port, _ in given), strict=True))
        return hosts, may if same else self.private(caller)

    def check(self, caller: Caller, ip: str, at: str, *, private: bool = True) -> None:
        """Raise UNPROCESSABLE for an address that the caller may not have connections made to.

        `private` False: for a private one, whoever asks, as who saved the server may not name one.
        """
        address = _address(ip)
        assert address is not None, ip
        if is_forbidden(str(address)):
            raise unprocessable("Mail can't be handed to that address.", at)
        if not is_public(str(address)):
            self._check_private(caller, at)
            if not private:
                raise unprocessable("Who saved this server may not have mail handed to private addresses.", at)

    async def resolve(self, caller: Caller, host: str, resolver: Resolver, at: str, *, private: bool = True) -> str:
        """Return one address of a host to connect to, so that no second look-up can lead elsewhere (threat 122).

        `private` as in `check`. Raises UNPROCESSABLE where every address is forbidden, Missing or DnsFailure where
        there is none.
        """
        refused: Problem | None = None
        for ip in await resolver.addresses(host):
            try:
                self.check(caller, ip, at, private=private)
            except Problem as problem:
                refused = problem
            else:
                return ip
        raise refused or Missing(f"{host} has no address")

    def _named(self, caller: Caller, text: str, at: str) -> str:
        try:
            name = domain_name(text)
        except BadAddress as error:
            raise Problem(Kind.MALFORMED, f"This is not a host: {error}.", pointer=at) from error
        last = name.rpartition(".")[2]
        if re.fullmatch(r"0x[0-9a-f]*", last):
            raise Problem(Kind.MALFORMED, "This is not a host: a number is not a name.", pointer=at)
        if last == "localhost":
            self._check_private(caller, at)
        return name

    def private(self, caller: Caller) -> bool:
        """Tell whether the caller may have connections made to private and loopback addresses."""
        return self._private == "everyone" or (self._private == "sysadmin" and caller.sys_admin)

    def _check_private(self, caller: Caller, at: str) -> None:
        if not self.private(caller):
            raise unprocessable("Private and loopback addresses are not allowed here.", at)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
