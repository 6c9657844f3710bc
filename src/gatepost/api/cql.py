"""CQL, the query language of libraries: a text read into conditions and an order over permitted fields.

The grammar (CQL 1.2) is cql-parser's, with lists of terms as cql-java reads them; what it means here is told in
docs/dialects.md.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from cql.lexer import CQLLexerError
from cql.parser import CQLModifier, CQLParser12, CQLParserError, CQLSearchClause, CQLSortSpec, CQLTriple

from gatepost.api.terms import Field, Flags, Term, Unfit
from gatepost.model.likeness import How, Likeness
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Not, Op, Order, Where, every
from gatepost.model.query import Any as AnyOf

LONGEST = 4096  # characters of a query
CLAUSES = 100
WORDS = 200  # to look for, in all
KEYS = 10  # to sort by
DEEPEST = 60  # conditions within each other, as `_depth` counts them; SQLite reads some 80
EVERYWHERE = {"cql.serverchoice", "cql.anywhere", "cql.anyindexes", "cql.allindexes", "cql.keywords"}
FLAGS = {  # what a relation's modifiers mean
    "respectcase": {"case": True},
    "ignorecase": {"case": False},
    "respectaccents": {"accents": True},
    "ignoreaccents": {"accents": False},
    "masked": {"masked": True},
    "unmasked": {"masked": False},
    "string": {"string": True},
    "word": {"word": True},
    "substring": {"substring": True},
    "number": {"number": True},
    "isodate": {},
}
ORDERS = {  # and those of a key to sort by
    "ascending": {"descending": False},
    "descending": {"descending": True},
    "respectcase": {"case": True},
    "ignorecase": {"case": False},
    "missinglow": {"low": True},
    "missinghigh": {"low": False},
}
logging.getLogger("cql").setLevel(logging.CRITICAL)  # what is wrong is told to who asked


class Cql:
    """Reads queries over some fields, which are named in any case. `everywhere` are those of a term without a field."""

    def __init__(self, fields: Mapping[str, Field], everywhere: Sequence[str]) -> None:
        self._fields = {name.lower(): field for name, field in fields.items()}
        self._everywhere = [fields[name] for name in everywhere]

    def read(self, text: str) -> tuple[Condition, tuple[Order, ...]]:
        """Return what a query asks for, and in which order; raise MALFORMED with the position of what is wrong."""
        if len(text) > LONGEST:
            raise wrong(f"it has more than {LONGEST} characters", LONGEST)
        return _Reading(self._fields, self._everywhere, text).read()


def wrong(why: str, position: int) -> Problem:
    return Problem(Kind.MALFORMED, f"The query can't be read at position {position + 1}: {why}.", pointer="/query")


class _Grammar(CQLParser12):
    def p_listClause(self, p: Any) -> None:  # noqa: N802 - cql-parser's way to name a rule
        """searchClause : index relation LPAREN cqlQuery RPAREN"""
        p[0] = p[4]
        waiting = [p[4]]
        while waiting:
            node = waiting.pop()
            if isinstance(node, CQLTriple):
                waiting += node.left, node.right
            elif node.index is None:
                node.index, node.relation = p[1], p[2]

    def p_error(self, p: Any) -> None:
        """Note where the word stands that is not expected, before that is told."""
        self.unexpected = p.lexpos if p else None
        super().p_error(p)


@cache
def _parser() -> _Grammar:
    """The parser, whose tables take their time to make; it is used by one at a time."""
    parser = _Grammar()
    parser.build()
    return parser


class _Reading:
    """One query. Clauses are met in the order of the text, which tells where each stands."""

    def __init__(self, fields: Mapping[str, Field], everywhere: Sequence[Field], text: str) -> None:
        self._fields = fields
        self._everywhere = everywhere
        self._text = text
        self._at = self._after = 0  # where the word stands that is looked at, and where it ends
        self._clauses = self._words = 0
        self._prefixes: dict[str, str] = {}

    def read(self) -> tuple[Condition, tuple[Order, ...]]:
        parser = _parser()
        try:
            root = parser.parse(self._text).root
        except CQLLexerError as error:
            raise wrong("a quotation mark is not closed", error.args[1].lexpos) from error
        except CQLParserError as error:
            place = len(self._text) if parser.unexpected is None else parser.unexpected
            raise wrong(_reason(error), place) from error
        condition = self._condition(root)
        if len(root.sortSpecs) > KEYS:
            self._fail(f"more than {KEYS} keys to sort by")
        return condition, tuple(self._order(each) for each in root.sortSpecs)

    def _fail(self, why: str) -> NoReturn:
        raise wrong(why, self._at)

    def _find(self, word: object) -> None:
        """Go on to where a word stands next."""
        found = self._text.find(str(word), self._after)
        if found >= 0:
            self._at, self._after = found, found + len(str(word))

    # Conditions.

    def _condition(self, node: Any) -> Condition:
        """Return what a node means. Booleans stand to the left of each other: a long row of them is no deep tree."""
        first, *row = reversed(list(_row(node)))
        for each in (first, *row):
            self._name_spaces(each)
        condition = self._near(first) if isinstance(first, CQLTriple) else self._clause(first)
        for triple in row:
            condition = self._joined(condition, triple)
        return condition

    def _name_spaces(self, node: Any) -> None:
        """Prefixes name sets of fields; there is but one set, whatever it is called."""
        self._prefixes.update({(each.prefix or "").lower(): each.uri for each in node.prefixes})

    def _joined(self, left: Condition, triple: CQLTriple) -> Condition:
        operator = triple.operator.value.lower()
        self._find(triple.operator.value)
        if triple.operator.modifiers:
            self._fail(f"{operator} takes no modifiers")
        at, right = self._at, self._condition(triple.right)
        if operator == "not":
            assert not isinstance(right, Not)
            right = Not(right)
        kind = AnyOf if operator == "or" else All
        joined = kind(
            tuple(part for side in (left, right) for part in (side.of if isinstance(side, kind) else (side,)))
        )
        if _depth(joined) > DEEPEST:
            raise wrong("what is in parentheses is nested too deeply", at)
        return joined

    def _clause(self, node: CQLSearchClause) -> Condition:
        name = str(node.index).lower() if node.index is not None else "cql.serverchoice"
        self._find(node.index if self._has_own(node) else node.term)
        self._clauses += 1
        self._words += len(node.term.split())
        if self._clauses > CLAUSES or self._words > WORDS:
            self._fail(f"more than {CLAUSES} clauses, or {WORDS} words")
        relation = str(node.relation.comparitor).lower().removeprefix("cql.") if node.relation else "="
        if name == "cql.allrecords":
            return All(()) if node.term == "1" else AnyOf(())
        flags = self._flags(node.relation.modifiers if node.relation else None)
        fields = self._everywhere if name in EVERYWHERE else [self._field(name)]
        term = Term(relation, node.term, flags)
        try:
            found = tuple(term.condition(field) for field in fields)
        except Unfit as error:
            self._fail(str(error))
        self._find(node.term)
        return found[0] if len(found) == 1 else AnyOf(found)

    def _has_own(self, node: CQLSearchClause) -> bool:
        """Tell whether a clause's field stands right before its term, not before the list that the term is in."""
        field, term = (self._text.find(str(each), self._after) for each in (node.index, node.term))
        return node.index is not None and field >= 0 and (term < 0 or field <= term)

    def _field(self, name: str) -> Field:
        prefix, dot, rest = name.partition(".")
        known = self._fields.get(name) or (self._fields.get(rest) if dot and prefix in self._prefixes else None)
        if known is None:
            self._fail(f"there is no field {name!r} to search or sort by")
        return known

    def _flags(self, modifiers: Sequence[CQLModifier] | None) -> Flags:
        flags: dict[str, bool] = {}
        for each in modifiers or ():
            meaning = FLAGS.get(_bare(each))
            if meaning is None or each.comparitor is not None:
                self._fail(f"the modifier {each.name} is not offered")
            flags.update(meaning)
        return Flags(**flags)

    def _near(self, triple: CQLTriple) -> Condition:
        """Words near each other in one field; without a word for the distance, next to each other."""
        left, right = triple.left, triple.right
        self._find(triple.operator.value)
        if not (isinstance(left, CQLSearchClause) and isinstance(right, CQLSearchClause)):
            self._fail("prox stands between two clauses")
        if any(each.relation and each.relation.modifiers for each in (left, right)):
            self._fail("the relations of prox take no modifiers")
        names = {str(each.index).lower() for each in (left, right)}
        relations = {
            str(each.relation.comparitor).lower().removeprefix("cql.") for each in (left, right) if each.relation
        }
        if len(names) > 1 or not relations <= {"=", "adj"}:
            self._fail("prox compares the words of one field")
        how, element = self._distance(triple.operator.modifiers)
        if element:
            return every(self._clause(left), self._clause(right))
        self._clause(left), self._clause(right)  # so that each is sound by itself
        fields = self._everywhere if left.index is None else [self._field(names.pop())]
        likeness = Likeness(how=How.NEAR, text=left.term, other=right.term, **how)
        found = tuple(Where(field.column, Op.LIKENESS, likeness) for field in fields if field.is_text)
        return AnyOf(found)

    def _distance(self, modifiers: Sequence[CQLModifier] | None) -> tuple[dict[str, Any], bool]:
        how: dict[str, Any] = {"by": "<=", "distance": 1}
        element = False
        for each in modifiers or ():
            name, value = _bare(each), str(each.value or "").lower()
            if name == "unit" and value in ("word", "element"):
                element = value == "element"
            elif name == "distance" and re.fullmatch(r"[0-9]{1,5}", value):
                how |= {"by": each.comparitor, "distance": int(value)}
            elif name in ("ordered", "unordered"):
                how["ordered"] = name == "ordered"
            else:
                self._fail(f"the modifier {each.name} is not offered")
        return how, element

    # The order.

    def _order(self, key: CQLSortSpec) -> Order:
        self._find(key.index)
        how = {"descending": False, "case": False, "low": True}
        for each in key.modifiers or ():
            meaning = ORDERS.get(_bare(each))
            if meaning is None or each.comparitor is not None:
                self._fail(f"the modifier {each.name} is not offered")
            how |= meaning
        field = self._field(str(key.index).lower())
        # What is missing counts as low or high, so it stands at one end of the list or the other.
        return Order(field.column, how["descending"], how["case"], last=how["low"] == how["descending"])


def _row(node: Any) -> Iterator[Any]:
    """Yield a node and all that stand to its left, the leftmost last."""
    yield node
    while isinstance(node, CQLTriple) and node.operator.value.lower() != "prox":
        node = node.left
        yield node


def _depth(condition: Condition) -> int:
    """Return how many places of its stack SQLite takes to read a condition; what stands first waits for nothing."""
    if isinstance(condition, Not):
        return 1 + _depth(condition.of)
    if isinstance(condition, Where) or not condition.of:
        return 0
    first, *others = (_depth(part) for part in condition.of)
    return max([first + 1, *(other + 3 for other in others)])


def _bare(modifier: CQLModifier) -> str:
    """Return a modifier's name without the set that it is of (sort., cql.)."""
    return str(modifier.name).rpartition(".")[2].lower()


def _reason(error: CQLParserError) -> str:
    text = str(error)
    if "closing parenthesis" in text:
        return "the parentheses do not match"
    if "EOF" in text or "Unexpected end" in text:
        return "something is missing at its end"
    if "right side" in text:
        return "a clause is missing after the boolean"
    return "this is not expected here"
