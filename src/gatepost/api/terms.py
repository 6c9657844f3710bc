"""One clause of a CQL query: a field, a relation and a term, made into a condition."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from gatepost.model.likeness import How, Likeness, has_words, is_number
from gatepost.model.query import All, Condition, Not, Op, Pattern, Where, every

MANY_MASKS = 20  # * or ? in one term
LONG_MASK = 256  # characters of a term with ?, which is looked for at every place
MANY_WORDS = 50  # in one term
_RANGES = {"<": Op.LT, "<=": Op.LE, ">": Op.GT, ">=": Op.GE}
_MASK = re.compile(r"[*?^\\]")
_ENDS = re.compile(r"(\*?)([^*?^\\]*)(\*?)\Z")
_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"([T ](?P<hour>\d\d)(:(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d{1,6}))?)?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?)?)?)?\Z"
)


_PARTS = ("year", "month", "day", "hour", "minute", "second")


class Unfit(ValueError):
    """The clause can't be asked; the text says why."""


class Sort(StrEnum):
    TEXT = "text"
    LINES = "lines"  # several texts, each on a line of its own
    DATE = "date"  # epoch milliseconds
    NUMBER = "number"


@dataclass(frozen=True)
class Field:
    """A column that can be asked for."""

    column: str
    sort: Sort = Sort.TEXT

    @property
    def is_text(self) -> bool:
        return self.sort in (Sort.TEXT, Sort.LINES)


@dataclass(frozen=True)
class Flags:
    """What the modifiers of a relation ask for."""

    case: bool = False
    accents: bool = True
    masked: bool = True
    string: bool = False
    word: bool = False
    substring: bool = False
    number: bool = False


@dataclass(frozen=True)
class Term:
    """A relation and its term."""

    relation: str
    text: str
    flags: Flags

    def condition(self, field: Field) -> Condition:
        """Return the condition on a field; raise Unfit."""
        if "\0" in self.text:
            raise Unfit("a NUL is no text")
        questions = self.text.count("?")
        if self.text.count("*") + questions > MANY_MASKS or (questions and len(self.text) > LONG_MASK):
            raise Unfit(f"a term has at most {MANY_MASKS} of * and ?, one with ? at most {LONG_MASK} characters")
        if len(self.text.split()) > MANY_WORDS and self.relation not in ("==", "exact"):
            raise Unfit(f"a term has at most {MANY_WORDS} words")
        if self.relation == "encloses":
            raise Unfit("no field holds ranges, which encloses asks for")
        if self.relation == "=" and not self.text:
            return Where(field.column, Op.NOT_NULL)
        if self.relation == "<>":
            equal = replace(self, relation="==").condition(field)
            return every(Where(field.column, Op.NOT_NULL), Not(equal) if not isinstance(equal, Not) else equal.of)
        if field.sort is Sort.DATE:
            return self._moment(field)
        return self._amount(field) if field.sort is Sort.NUMBER or self.flags.number else self._text(field)

    # Texts.

    def _text(self, field: Field) -> Condition:
        flags = self.flags
        if self.relation in _RANGES or self.relation == "within":
            return self._range(field)
        if flags.substring and self.relation in ("=", "=="):
            return self._like(field, How.WHOLE, f"*{self.text}*")
        if self.relation in ("==", "exact"):
            return self._words(field, How.ADJ) if flags.word else self._whole(field)
        if self.relation in ("=", "scr", "adj"):
            return self._whole(field) if flags.string and self.relation == "=" else self._words(field, How.ADJ)
        if self.relation in ("any", "all"):
            return self._words(field, How(self.relation))
        raise Unfit(f"there is no relation {self.relation!r}")

    def _whole(self, field: Field) -> Condition:
        """The whole text; what an index can tell is asked of the index."""
        flags, ends = self.flags, _ENDS.match(self.text)
        if flags.case or not flags.accents or field.sort is Sort.LINES:
            return self._like(field, How.WHOLE, self.text)
        if not flags.masked or not _MASK.search(self.text):
            return Where(field.column, Op.LIKE, Pattern(self.text))
        if ends:
            return Where(field.column, Op.LIKE, Pattern(ends[2], bool(ends[1]), bool(ends[3])))
        return self._like(field, How.WHOLE, self.text)

    def _words(self, field: Field, how: How) -> Condition:
        if not has_words(self.text):
            raise Unfit("the term has no word to look for")
        return self._like(field, how, self.text)

    def _like(self, field: Field, how: How, text: str) -> Condition:
        flags = self.flags
        likeness = Likeness(
            how=how,
            text=text,
            case=flags.case,
            accents=flags.accents,
            masked=flags.masked,
            lines=field.sort is Sort.LINES,
        )
        return Where(field.column, Op.LIKENESS, likeness)

    def _range(self, field: Field) -> Condition:
        if self.flags != Flags():
            raise Unfit("ranges of texts take no modifiers")
        if self.relation == "within":
            low, high = ends_of_range(self.text)
            return every(Where(field.column, Op.GE, low), Where(field.column, Op.LE, high))
        return Where(field.column, _RANGES[self.relation], self.text)

    # Numbers.

    def _amount(self, field: Field) -> Condition:
        if self.relation == "within":
            low, high = ends_of_range(self.text)
            ends = (replace(self, relation=">=", text=low), replace(self, relation="<=", text=high))
            return All(tuple(end.condition(field) for end in ends))
        by = {"==": "=", "exact": "=", "scr": "="}.get(self.relation, self.relation)
        if by not in ("=", *_RANGES):
            raise Unfit(f"numbers have no relation {self.relation!r}")
        if not is_number(self.text):
            raise Unfit("the term is no number")
        if field.is_text:
            return Where(field.column, Op.LIKENESS, Likeness(how=How.NUMBER, text=self.text, by=by))
        return Where(field.column, _RANGES.get(by, Op.EQ), float(self.text))

    # Moments: what names a day, a month, a year means all of it.

    def _moment(self, field: Field) -> Condition:
        if self.relation == "within":
            low, high = ends_of_range(self.text)
            return _between(field, _span(low)[0], _span(high)[1])
        start, end = _span(self.text.removesuffix("*"))
        match self.relation:
            case "=" | "==" | "exact" | "scr":
                return _between(field, start, end)
            case "<" | ">=":
                return Where(field.column, _RANGES[self.relation], start)
            case "<=":
                return Where(field.column, Op.LT, end)
            case ">":
                return Where(field.column, Op.GE, end)
        raise Unfit(f"dates have no relation {self.relation!r}")


def ends_of_range(text: str) -> tuple[str, str]:
    """Return the two ends that `within` names, separated by space."""
    ends = text.split()
    if len(ends) != 2:
        raise Unfit("within takes two ends, separated by a space")
    return ends[0], ends[1]


def _between(field: Field, start: int, end: int) -> Condition:
    return every(Where(field.column, Op.GE, start), Where(field.column, Op.LT, end))


def _span(text: str) -> tuple[int, int]:
    """Return the first millisecond of what a date names, and the first after it; without a zone it is UTC."""
    found = _DATE.match(text)
    if found is None:
        raise Unfit("the term is no date such as 2026-11-29 or 2026-11-29T10:00:00Z")
    parts = {name: int(value) for name in _PARTS if (value := found[name])}
    try:
        start = datetime(parts["year"], parts.get("month", 1), parts.get("day", 1), tzinfo=UTC)
        end = _after(start, parts)
        start += timedelta(hours=parts.get("hour", 0), minutes=parts.get("minute", 0), seconds=parts.get("second", 0))
        if "hour" in parts:
            if max(parts["hour"] - 23, parts.get("minute", 0) - 59, parts.get("second", 0) - 60) > 0:
                raise ValueError
            step = timedelta(seconds=1) if "second" in parts else timedelta(minutes=1 if "minute" in parts else 60)
            end = start + step
    except (ValueError, OverflowError) as error:
        raise Unfit("there is no such date") from error
    fraction, zone = found["fraction"], found["zone"]
    first, last = _millis(start), _millis(end)
    if fraction:
        first += int(fraction.ljust(6, "0")) // 1000
        last = first + 10 ** max(0, 3 - len(fraction))
    offset = _offset(zone) if zone else 0
    return first - offset, last - offset


def _after(start: datetime, parts: dict[str, int]) -> datetime:
    if "day" in parts:
        return start + timedelta(days=1)
    if "month" in parts:
        return datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
    return datetime(start.year + 1, 1, 1, tzinfo=UTC)


def _millis(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def _offset(zone: str) -> int:
    """Milliseconds by which a zone is ahead of UTC."""
    if zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    return (1 if zone[0] == "+" else -1) * (hours * 60 + minutes) * 60_000
