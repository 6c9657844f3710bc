"""CQL over records as they lie in the store: every relation, boolean, modifier and order, and what is wrong where."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.house import StillClock, open_store

from gatepost.api.cql import Cql
from gatepost.api.mod_email import EVERYWHERE, FIELDS
from gatepost.model.email import Email, EmailStatus
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query
from gatepost.store.store import Store

CQL = Cql(FIELDS, EVERYWHERE)
DAY = 86_400_000
START = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def email(number: str, header: str, body: str = "", to: str = "ada@far.example", **members: object) -> Email:
    fixed = {"mail_id": number, "domain_id": 1, "user_id": 1, "sender": "bob@served.example", "size": 1}
    made = {"created_by_id": f"0000000{number}-0000-0000-0000-000000000000", "created_by": "Bob", "expires_at": 0}
    at = START + int(number) * DAY
    times = {"created_date": at, "updated_date": at}
    return Email(notification_id=number, header=header, body=body, recipient=to, **fixed, **made, **times, **members)  # type: ignore[arg-type]


ROWS = [
    email("1", "Reset password", "the quick brown fox jumps", status=EmailStatus.DELIVERED, date=START, attempts=1),
    email("2", "reset Passwords now", "a quick fox", to="kim@near.example", message="550 No", attempts=3),
    email("3", "Grüße aus Köln", 'say "hi" (now) 50*2', status=EmailStatus.FAILURE, attempts=2),
    email("10", "", "fox quick", attachment_names="plan.pdf\nlogo.gif", attachment_types="application/pdf\nimage/gif"),
]
FOUND = {
    # Every record, those with a field, those without.
    "cql.allRecords=1": "1 2 3 10",
    'header=""': "1 2 3 10",
    'message=""': "2",
    'cql.allRecords=1 not message=""': "1 3 10",
    'header==""': "10",
    # The whole text.
    'header=="reset password"': "1",
    'header exact "Reset Password"': "1",
    "header==reset*": "1 2",
    'header=="*pass*"': "1 2",
    'header=="res?t pass*"': "1 2",
    'header=="*pass*ord"': "1",
    "header==*KÖLN": "3",
    'header=="GRÜSSE AUS KÖLN"': "3",
    'header<>"reset password"': "2 3 10",
    "message<>x": "2",
    'body=="*50\\**"': "3",
    'body=="* \\"hi\\" *"': "3",
    'header==/respectCase "reset password"': "",
    'header==/respectCase "Reset*"': "1",
    'header==/ignoreAccents "grusse aus koln"': "3",
    'header==/ignoreAccents "*koln"': "3",
    'header==/unmasked "reset*"': "",
    'header=/string "reset password"': "1",
    "header=/substring assw": "1 2",
    # Words.
    "header=password": "1",
    "header=password*": "1 2",
    'body="quick fox"': "2",
    'body adj "quick fox"': "2",
    'body all "quick fox"': "1 2 10",
    'body any "jumps say"': "1 3",
    'body="^fox"': "10",
    'body="fox^"': "2",
    "header=köln": "3",
    "header=/ignoreAccents koln": "3",
    "header=/respectCase reset": "2",
    "to=near": "2",
    "body==/word quick": "1 2 10",
    "fox": "1 2 10",
    "cql.serverChoice=near": "2",
    # Numbers and moments.
    "attemptCount>=2": "2 3",
    "attemptCount=3": "2",
    'attemptCount within "1 2"': "1 3",
    "notificationId>/number 2": "3 10",
    "notificationId>2": "3",
    'notificationId within "1 2"': "1 2 10",
    "metadata.createdDate==2026-01-02": "1",
    "metadata.createdDate=2026-01": "1 2 3 10",
    "metadata.createdDate==2026-01*": "1 2 3 10",
    "metadata.createdDate>2026-01-02": "2 3 10",
    "metadata.createdDate>=2026-01-04T00:00:00Z": "3 10",
    "metadata.createdDate<=2026-01-03": "1 2",
    "metadata.createdDate<2026-01-03T00:00:00.000+01:00": "1",
    'metadata.createdDate within "2026-01-03 2026-01-04"': "2 3",
    "metadata.createdDate<>2026-01-02": "2 3 10",
    "date<2027": "1",
    "metadata.createdByUserId==00000003*": "3",
    "metadata.createdByUsername==bob": "1 2 3 10",
    # What hangs on a mail.
    "attachments.name==PLAN.pdf": "10",
    'attachments.contentType=="image/*"': "10",
    "attachments=logo": "10",
    # Booleans go from left to right.
    "status==failure or status==DELIVERED": "1 3",
    "status==FAILURE or header=reset* and to=near": "2",
    "status==FAILURE or (header=reset* and to=near)": "2 3",
    "header=reset not to=near": "1",
    "cql.allRecords=1 NOT (header=reset or status==FAILURE)": "10",
    "body=quick prox body=fox": "2 10",
    "body=quick prox/distance<=2 body=fox": "1 2 10",
    "body=quick prox/distance<=2/ordered body=fox": "1 2",
    "body=quick prox/unit=word/distance>1 body=fox": "1",
    "body=quick prox/unit=element body=jumps": "1",
    '> m = "http://example.org" m.header = password': "1",
    '> "http://example.org" header = password': "1",
    'header cql.any "reset near"': "1 2",
    "body cql.adj quick prox body = fox": "2 10",
    "cql.allRecords=0 or header=reset*": "1 2",
    "header=reset* and (to=near and (header=reset* and (" * 15 + "to=near" + ")))" * 15: "2",
    # Terms in a list are all of its field, unless they name another.
    'status==(FAILURE or "delivered")': "1 3",
    "notificationId==(1 or 2 or 10) not header==(reset* and *word)": "2 10",
    "header=(reset not (password or to=near))": "",
    "header==/respectCase (Reset* or reset*) sortBy notificationId/sort.descending": "2 1",
    "body=(quick prox/distance>1 fox)": "1",
    # Orders.
    "cql.allRecords=1 sortBy header": "10 3 1 2",
    "cql.allRecords=1 sortBy header/sort.descending": "2 1 3 10",
    "cql.allRecords=1 sortBy header/sort.respectCase": "10 3 1 2",
    "cql.allRecords=1 sortBy message notificationId": "1 10 3 2",
    "cql.allRecords=1 sortBy message/missingHigh notificationId/descending": "2 3 10 1",
    "cql.allRecords=1 sortBy message/descending/missingLow notificationId": "2 1 10 3",
    "cql.allRecords=1 sortby date/sort.descending metadata.createdDate/sort.descending": "1 10 3 2",
}
WRONG = {
    "": 1,
    "status==": 9,
    "status==x and": 14,
    "(status==x": 11,
    "status==x)": 10,
    'status=="x': 9,
    "status==x sortBy": 17,
    "status==x sortBy password": 18,
    "status==x or password==y": 14,
    "status near x": 1,
    "status encloses x": 1,
    "status==x and/fuzzy to==y": 11,
    "to==a and status==/stem x": 11,
    "date==soon": 1,
    "status==(x or y": 16,
    "status==()": 10,
    "status==x xor to==y": 11,
    "attachments.contentType==text/plain": 30,
    "password==(x or y)": 1,
    "date>(2026 or soon)": 15,
    "status==(x or y) and status==z and password==x": 36,
    "date==2026-13": 1,
    "attemptCount=many": 1,
    'date within "2026"': 1,
    'header="!"': 1,
    "status=x prox to=y": 10,
    "header=" + "*a" * 30: 1,
    "header==" + "?a" * 200: 1,
    'header any "' + "a " * 51 + '"': 1,
    " or ".join(["to==a"] * 101): 901,
    "to==" + "a" * 5000: 4097,
    "to==a or (to==b and (" * 20 + "to==c" + "))" * 20: 206,
    "to==a not (" * 40 + "to==b" + ")" * 40: 271,
    "to==a" + " or to==b and to==c" * 40: 558,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(tmp_path_factory.mktemp("cql"), StillClock())
    for row in ROWS:
        store.write_sync(lambda writer, row=row: writer.add(row))
    yield store
    store.close_sync()


def ask(store: Store, text: str) -> list[str]:
    where, keys = CQL.read(text)
    found = store.reader.emails(Query(where=where, keys=keys, limit=100, total=True), 1000)
    assert found.total == len(found.items)
    return [row.notification_id for row in found.items]


@pytest.mark.parametrize("text", FOUND)
def test_a_query_finds(store: Store, text: str) -> None:
    assert ask(store, text) == FOUND[text].split()


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:40])
def test_what_is_wrong_is_told_with_its_place(text: str) -> None:
    with pytest.raises(Problem, match=f"at position {WRONG[text]}:") as told:
        CQL.read(text)
    assert (told.value.kind, told.value.pointer) == (Kind.MALFORMED, "/query")


def test_what_is_nested_as_deeply_as_may_be_is_asked(store: Store) -> None:
    rights, lefts = "to==a or (to==b and (" * 10 + "to==c" + "))" * 10, "to==a" + " or to==b and to==c" * 29
    mixed = "to==a not (header any (x or y) or (" * 7 + "to==b" + "))" * 7
    assert [ask(store, text) for text in (rights, lefts, mixed)] == [[], [], []]


def test_an_answer_has_room_for_so_many_octets_and_one_record_at_least(store: Store) -> None:
    for octets, count in ((0, 1), (2, 2), (9, 4)):
        page = store.reader.emails(Query(limit=10, total=True), octets)
        assert (len(page.items), page.total) == (count, 4)


def test_a_question_that_takes_too_long_is_given_up(store: Store) -> None:
    where, _ = CQL.read("header=reset or body=fox")
    with pytest.raises(Problem, match="takes too long") as told:
        for _ in range(100):  # as many steps as it takes until the clock is looked at
            store.reader.emails(Query(where=where, limit=10, total=True), 1000, seconds=0)
    assert told.value.kind is Kind.UNPROCESSABLE
    assert ask(store, "header=password") == ["1"]  # the next one has its own time


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(st.text(st.sampled_from('abc*?^\\"()=<>/ \t\nü\0.andorto1'), max_size=30))
def test_any_text_is_answered_or_refused(store: Store, text: str) -> None:
    for query in (text, f'header="{text}"', f"body any/ignoreAccents {text}"):
        try:
            ask(store, query)
        except Problem as problem:
            assert problem.kind is Kind.MALFORMED
