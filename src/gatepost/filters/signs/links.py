"""Signs in links: where they lead, how they hide it, what they show instead."""

import base64
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice

from gatepost.filters.hosts import is_address, upwards
from gatepost.filters.signs.brands import Brands
from gatepost.filters.signs.facts import Facts, Sign
from gatepost.filters.signs.scripts import mixed
from gatepost.message.anatomy import Link, Source
from gatepost.message.hosts import host_of, registered
from gatepost.message.look import Anchor
from gatepost.message.skeleton import unpunycoded
from gatepost.model.network import is_public

SOME, MOST = 3, 0.6  # links, and the share of them that lead home
LONG, PLACES = 2000, 8  # characters of a digest, and the domains that it leads to
READERS = 20  # whose addresses are sought in them
_AUTHORITY = re.compile(r"[a-z]+:[/\\]{1,4}([^/\\?#]*)", re.IGNORECASE)
_SHOWN = re.compile(r"(?:https?://)?((?:[\w-]+\.)+(?:[a-z]{2,6}|xn--[\w-]+))\b(?:[/?#:]\S*)?\Z", re.IGNORECASE)
_PICTURE = re.compile(r"\.(?:png|jpe?g|gif|webp|svg|ico)(?:\?|\Z)", re.IGNORECASE)  # newsletters keep them there
_SHARING = {"photos.app.goo.gl", "maps.app.goo.gl"}  # under a shortener's domain, and say what they lead to
_TO_REACH = re.compile(r"\S@\w|\d[\d ()/.-]{6,}\d")  # an address, a telephone number
_USUAL_PORTS = {"", "80", "443", "8080", "8443"}


def links(facts: Facts, brands: Brands) -> Iterator[Sign]:
    found = facts.links
    yield from _first_of_each(_each(facts, brands, found))
    if facts.author_domain and _homeward(facts.author_domain, found):
        yield "LINKS_HOME", facts.author_domain
    if len(facts.prose.text) >= LONG and len(places := {link.domain for link in found if link.domain}) >= PLACES:
        yield "LINKS_WIDE", f"{len(places)} domains"
    yield from _led(facts, brands, [link for link in found if link.domain])
    page = facts.prose.page
    if page is not None:
        yield from _first_of_each(_worded(page.anchors, facts, brands))
    carriers = _carrying_reader(facts, found)
    if carriers:
        yield "LINK_READER", ""
        if abroad := next((link for link in carriers if link.domain != facts.author_domain), None):
            yield "LINK_READER_ABROAD", abroad.host


def _homeward(own: str, found: list[Link]) -> bool:
    led = [link.domain == own for link in found if link.source is not Source.REDIRECT and link.domain]
    return len(led) >= SOME and sum(led) >= MOST * len(led)


def _led(facts: Facts, brands: Brands, led: list[Link]) -> Iterator[Sign]:
    """Tell where a proven mail leads that holds neither file nor picture."""
    if not facts.proven or not facts.bare:
        return
    if not led:
        anchored = facts.prose.page is not None and facts.prose.page.anchors  # by a telephone, mail or data: link, too
        if not (anchored or facts.answered_elsewhere or _TO_REACH.search(facts.prose.text)):
            yield "LINKS_NONE", ""
    elif all(map(facts.within, led)):
        yield "LINKS_OURS" if facts.ours(facts.author_domain) else "LINKS_WITHIN", led[0].host
    elif all(brands.of(link.domain) and facts.lists.shared.isdisjoint(upwards(link.host)) for link in led):
        yield "LINKS_BRAND", led[0].host


def _first_of_each(signs: Iterable[Sign]) -> Iterator[Sign]:
    seen = set()
    for symbol, shown in signs:
        if symbol not in seen:
            seen.add(symbol)
            yield symbol, shown


def _each(facts: Facts, brands: Brands, found: list[Link]) -> Iterator[Sign]:
    hosts: dict[str, Link] = {}
    for link in found:
        hosts.setdefault(link.host, link)
        yield from _written(link)
    own = facts.author_domain
    for host, link in hosts.items():
        if link.domain == own:
            continue
        yield from _host(facts, brands, host, link)
    for link in found:
        if link.source is Source.REDIRECT and link.domain not in (own, ""):
            yield "LINK_REDIRECT", link.url
            break


def _written(link: Link) -> Iterator[Sign]:
    """Judge how a URL is written."""
    authority = _AUTHORITY.match(link.url)
    if not authority or link.source is Source.REDIRECT:
        return
    user, at, place = authority[1].rpartition("@")
    if at and "." in user:
        yield "LINK_USER", link.url
    name, _, port = place.rpartition(":") if ":" in place and "[" not in place else (place, "", "")
    if port and port.isdigit() and port not in _USUAL_PORTS:
        yield "LINK_PORT", link.url
    if "%" in name or (is_address(link.host) and name.lower() != link.host and "[" not in place):
        yield "LINK_ENCODED_HOST", link.url


def _host(facts: Facts, brands: Brands, host: str, link: Link) -> Iterator[Sign]:
    lists = facts.lists
    if is_address(host):
        if is_public(host):
            yield "LINK_IP", host
        return
    if (link.domain in lists.shorteners or host in lists.shorteners) and host not in _SHARING:
        yield "LINK_SHORTENED", host
    elif _free(lists.free_hosts, host, link.url) and not _PICTURE.search(link.url):
        yield "LINK_FREE_HOST", host
    if facts.abused(host):
        yield "LINK_ABUSED", host
    if brand := brands.alike(link.domain):
        yield "LINK_ALIKE", f"{host} for {brand}"
    elif brand := brands.borne(host, link.domain):
        yield "LINK_BRAND", f"{host} for {brand}"
    if "xn--" in host and any(mixed(unpunycoded(label)) for label in host.split(".")):
        yield "LINK_MIXED", host


def _free(free_hosts: frozenset[str], host: str, url: str) -> bool:
    if any(name in free_hosts for name in upwards(host)):
        return True
    return host == "docs.google.com" and "/forms/" in url


def _worded(anchors: Iterable[Anchor], facts: Facts, brands: Brands) -> Iterator[Sign]:
    """Find links whose wording is a host of another domain than they lead to.

    Newsletters count clicks through hosts of their sender's; a link that leads to the author's own domain deceives
    nobody, unless it shows a brand's, and one in a mail which says how to leave its list neither.
    """
    if facts.listed:
        return
    for anchor in anchors:
        shown = _SHOWN.match(anchor.text.strip())
        if not shown or not anchor.href.lower().startswith(("http:", "https:")):
            continue
        told, true = registered(host_of(f"http://{shown[1]}")), registered(host_of(anchor.href))
        if not told or not true or told == true:
            continue
        if true != facts.author_domain:
            yield "LINK_TEXT_OTHER", f"{told} for {true}"
        elif (brand := brands.of(told)) and not brands.owns(brand, true):
            yield "LINK_TEXT_BRAND", f"{told} for {true}"


def _carrying_reader(facts: Facts, found: list[Link]) -> list[Link]:
    """Return the links that carry the address of a reader, as it is or in base64."""
    if facts.listed or not found:
        return []
    marks = {mark for address in islice(facts.recipients, READERS) for mark in _marks(address)}
    return [link for link in found if any(mark in link.url or mark in link.url.lower() for mark in marks)]


@lru_cache(maxsize=2048)
def _marks(address: str) -> tuple[str, ...]:
    """Return an address as links carry it."""
    coded = base64.b64encode(address.encode()).decode().rstrip("=")[:-1]
    return address, address.replace("@", "%40"), coded
