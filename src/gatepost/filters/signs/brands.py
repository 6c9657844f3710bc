"""Brands in names and hosts: whose domain it is, and what only looks like it."""

import re
from collections import defaultdict
from fnmatch import fnmatchcase
from functools import lru_cache

from gatepost.filters.symbols import Lists
from gatepost.message.skeleton import folded, seen_labels, skeleton

NEAR = 8  # letters of a name from which on one wrong letter is taken for intent
TOKEN = 5  # letters from which on a name inside a host, or like a brand's, is taken for the brand's
WORD = 4  # letters from which on a word of a host that is the very name is
_WORDS = re.compile(r"[^\W_]+")
_SITE = re.compile(
    r"\s*([^\W_]+)\.(?:com|net|org|co\.[a-z]{2}|com\.[a-z]{2}|[a-z]{2})\b"
)  # a name that is a web site's
INITIALS = 2  # letters, that people sign by, too
_CLAIMS_MAX = 12  # words beyond which a name is a sentence


class Brands:
    """Knows the brands of the lists; what it was asked it remembers."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._domains = {domain: brand for brand, each in lists.brands.items() for domain in each}
        self._names = {folded(brand): brand for brand in lists.brands}
        self._skeletons = {skeleton(brand): brand for brand in lists.brands if len(brand) >= TOKEN}
        self._near: dict[str, list[str]] = defaultdict(list)  # first letter -> brands that one wrong letter may mean
        for brand in self._skeletons.values():
            if len(brand) >= NEAR:
                self._near[brand[:1]].append(brand)
        self._ranks = {shown: rank for rank, shown in enumerate(self._names)}
        self._common = {shown for shown, brand in self._names.items() if brand in lists.common}
        long = [(shown, brand) for shown, brand in self._names.items() if shown not in self._common and _long(brand)]
        self._long = {shown for shown, _ in long}
        self._lengths = sorted({len(shown) for shown in self._long})
        self._looks = {skeleton(brand): shown for shown, brand in reversed(long)}
        self.alike = lru_cache(maxsize=4096)(self._alike)
        self.borne = lru_cache(maxsize=4096)(self._borne)
        self.claimed = lru_cache(maxsize=1024)(self._claimed)

    def owns(self, brand: str, domain: str) -> bool:
        """Tell whether a registered domain is the brand's own."""
        if domain in self._lists.brands[brand] or domain.partition(".")[0] == brand:
            return True
        return any("*" in own and fnmatchcase(domain, own) for own in self._lists.brands[brand])

    def of(self, domain: str) -> str:
        """Return the brand whose a registered domain is, "" if none's."""
        return self._domains.get(domain, "")

    def _claimed(self, name: str) -> str:
        """Return the brand that a person's or a firm's shown name claims to be, "" if none."""
        words = _WORDS.findall(folded(name))
        if not words or len(words) > _CLAIMS_MAX:
            return ""
        if (site := _SITE.match(name.lower())) and site[1] in self._names:
            return self._names[site[1]]
        joined = "".join(words)
        served = len(words) <= 4 and not self._lists.services.isdisjoint(words)
        common, looks = self._common, self._looks
        found = [word for word in words if word in self._names and (served or word not in common)]
        found += [joined] if joined in common and len(joined) > INITIALS else []
        found += [looks[form] for form in map(skeleton, words) if form in looks]
        found += [joined[:length] for length in self._lengths if joined[:length] in self._long]
        return self._names[min(found, key=self._ranks.__getitem__)] if found else ""

    def _alike(self, domain: str) -> str:
        """Return the brand that a registered domain looks like and is not, "" if none."""
        label = seen_labels(domain.partition(".")[0])
        if domain in self._domains or label in self._lists.brands:
            return ""
        found = self._skeletons.get(skeleton(label))
        if found:
            return found
        return next((brand for brand in self._near.get(label[:1], ()) if near(label, brand)), "")

    def _borne(self, host: str, domain: str) -> str:
        """Return the brand that a host names in one of its words though its domain is another's, "" if none."""
        if domain in self._domains:
            return ""
        words = re.split(r"[.-]", seen_labels(host.removesuffix(domain.partition(".")[2])))
        for word in words:
            if len(word) < WORD:
                continue
            brand = self._skeletons.get(skeleton(word)) if len(word) >= TOKEN else self._names.get(word)
            if brand and brand not in self._lists.common and not self.owns(brand, domain):
                return brand
        return ""


def _long(brand: str) -> bool:
    """Tell whether a name can begin others by no chance: a sign of Chinese or Japanese says more than a letter."""
    return len(brand) >= TOKEN or not brand.isascii()


def near(one: str, other: str) -> bool:
    """Tell whether two names are one letter apart: one more, one less, another, or two that changed places."""
    if one == other or abs(len(one) - len(other)) > 1 or one[:1] != other[:1]:
        return False
    head = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[head:], other[head:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[1:] == shorter
