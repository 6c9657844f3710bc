"""The judge against the table of the contract: every set of categories, every flag that bears on it."""

import itertools
from collections.abc import Iterator

import msgspec
import pytest

from gatepost.model.policy import ArchiveProps, Policy, QuarantineProps, RelayProps, RetentionProps
from gatepost.model.problem import Kind
from gatepost.model.verdict import Action, Category, Finding, Folder, OnError, Verdict
from gatepost.mta.judge import OUTWEIGHED, Case, judge, months_later, system_keep

RECEIVED = 1_774_457_446_695
DAY = 86_400_000

# category: relay flag, quarantine flag, archive flag (None: there is no such flag)
TABLE: dict[Category, tuple[str | None, str, str | None]] = {
    Category.VIRUS: (None, "store_virus", None),
    Category.BLOCKED: (None, "store_blacklisted", "store_blacklisted"),
    Category.BAD_ATTACHMENT: ("relay_bad_attachments", "store_bad_attachments", "store_bad_attachments"),
    Category.BAD_ENCODING: (None, "store_bad_encoding", "store_bad_encoding"),
    Category.BAD_HEADERS: ("relay_bad_headers", "store_bad_headers", "store_bad_headers"),
    Category.SENDER_VERIFY: (None, "store_sender_verify", "store_sender_verify"),
    Category.SPAM: ("relay_spam", "store_spam", "store_spam"),
    Category.ADVERT: ("relay_advert", "store_advert", "store_advert"),
}
GRAVEST_FIRST = list(TABLE)


def policy(
    relay: dict[str, object] | None = None,
    quarantine: dict[str, bool] | None = None,
    archive: dict[str, bool] | None = None,
    retention: dict[str, bool] | None = None,
) -> Policy:
    return Policy(
        name="p",
        domain_id=1,
        quarantine=quarantine is not None,
        retention=retention is not None,
        archive=archive is not None,
        relay_props=RelayProps(**{"relay_advert": False, **(relay or {})}),  # type: ignore[arg-type]
        quarantine_props=_props(QuarantineProps, quarantine),
        archive_props=_props(ArchiveProps, archive),
        retention_props=_props(RetentionProps, retention),
    )


def _props(kind: type, flags: dict[str, bool] | None) -> object:
    if flags is None:
        return None
    off = {name: False for name in kind.__struct_fields__ if name.startswith("store")}
    return kind(**{**off, **flags})


def finding(category: Category, score: float = 0.0, **more: object) -> Finding:
    return Finding(
        category=category, symbol=category.name, reason=f"{category.name} seen", by="test", score=score, **more
    )


def try_judge(findings: list[Finding], of: Policy, **case: object) -> Verdict:
    return judge(findings, Case(policy=of, received=RECEIVED, **case))  # type: ignore[arg-type]


def sets() -> Iterator[tuple[Category, ...]]:
    for size in range(len(TABLE) + 1):
        yield from itertools.combinations(TABLE, size)


def test_every_set_of_categories_under_every_set_of_relay_flags() -> None:
    flags = ["relay_bad_attachments", "relay_bad_headers", "relay_spam", "relay_advert"]
    seen = 0
    for found in sets():
        for on in itertools.product([False, True], repeat=len(flags)):
            relay = dict(zip(flags, on, strict=True))
            verdict = try_judge([finding(category) for category in found], policy(relay))
            held_back = [c for c in GRAVEST_FIRST if c in found and not (TABLE[c][0] and relay[TABLE[c][0]])]
            if held_back:
                assert (verdict.action, verdict.category) == (Action.REJECT, held_back[0]), (found, relay)
                assert verdict.keep == ()
            else:
                assert verdict.action is Action.DELIVER, (found, relay)
                assert verdict.category is next((c for c in GRAVEST_FIRST if c in found), Category.CLEAN)
            seen += 1
    assert seen == 256 * 16


def test_the_gravest_category_not_relayed_alone_decides_what_is_kept() -> None:
    for found in sets():
        if not found:
            continue
        gravest = next(c for c in GRAVEST_FIRST if c in found)
        for stored in TABLE:
            kept = policy(quarantine={TABLE[stored][1]: True})
            verdict = try_judge([finding(category) for category in found], kept)
            assert verdict.category is gravest
            expected = (Action.HOLD, 1) if stored is gravest else (Action.REJECT, 0)
            assert (verdict.action, len(verdict.keep)) == expected, (found, stored)


@pytest.mark.parametrize("category", TABLE)
@pytest.mark.parametrize("quarantine", [False, True])
@pytest.mark.parametrize("archive", [False, True])
def test_store_flags_of_quarantine_and_archive(category: Category, quarantine: bool, archive: bool) -> None:
    archive_flag = TABLE[category][2]
    of = policy(
        quarantine={TABLE[category][1]: quarantine},
        archive={archive_flag: archive} if archive_flag else {},
    )
    verdict = try_judge([finding(category)], of)
    folders = [Folder.QUARANTINE] * quarantine + [Folder.ARCHIVE] * (archive and archive_flag is not None)
    assert [keep.folder for keep in verdict.keep] == folders
    assert verdict.action is (Action.HOLD if folders else Action.REJECT)


def test_an_infected_mail_is_never_archived() -> None:
    everything = {name: True for name in ArchiveProps.__struct_fields__ if name.startswith("store")}
    verdict = try_judge([finding(Category.VIRUS)], policy(archive=everything))
    assert (verdict.action, verdict.keep) == (Action.REJECT, ())


def test_flags_of_a_service_that_is_off_keep_nothing() -> None:
    props = msgspec.structs.replace(policy(quarantine={"store_spam": True}), quarantine=False)
    assert try_judge([finding(Category.SPAM)], props).action is Action.REJECT


@pytest.mark.parametrize(
    ("score", "action", "category"),
    [
        (4.99, Action.DELIVER, Category.CLEAN),
        (5.0, Action.DELIVER, Category.SPAM),
        (19.99, Action.DELIVER, Category.SPAM),
        (20.0, Action.REJECT, Category.SPAM),
        (1000.0, Action.REJECT, Category.SPAM),
    ],
)
def test_spam_between_the_two_scores_is_delivered_and_above_the_limit_never(
    score: float, action: Action, category: Category
) -> None:
    of = policy({"relay_spam": True, "prefix_spam": "[SPAM]", "spam_score_limit": 20.0})
    verdict = try_judge([finding(Category.SCORE, score / 2), finding(Category.SCORE, score / 2)], of)
    assert (verdict.action, verdict.category, verdict.score) == (action, category, pytest.approx(score))
    assert verdict.tags == (("[SPAM]",) if (action, category) == (Action.DELIVER, Category.SPAM) else ())


def test_all_tags_apply_to_a_delivered_mail_and_an_empty_prefix_is_none() -> None:
    relay = {"relay_spam": True, "relay_advert": True, "prefix_spam": "[SPAM]", "advert_prefix": "[PUB]"}
    found = [finding(Category.SPAM), finding(Category.ADVERT)]
    assert try_judge(found, policy(relay)).tags == ("[SPAM]", "[PUB]")
    assert try_judge(found, policy({**relay, "prefix_spam": "", "advert_prefix": None})).tags == ()


@pytest.mark.parametrize("category", TABLE)
def test_allow_outweighs_some_categories_and_never_others(category: Category) -> None:
    verdict = try_judge([finding(category), finding(Category.ALLOWED)], policy())
    never = {Category.VIRUS, Category.BAD_ATTACHMENT, Category.SENDER_VERIFY}
    assert (verdict.action is Action.REJECT) == (category in never)


def test_allow_outweighs_a_score_too() -> None:
    verdict = try_judge([finding(Category.SCORE, 1000), finding(Category.ALLOWED)], policy())
    assert (verdict.action, verdict.category, verdict.score) == (Action.DELIVER, Category.CLEAN, 1000)


def test_oversize_is_refused_and_never_stored_whatever_else_is_found() -> None:
    everything = {name: True for name in QuarantineProps.__struct_fields__ if name.startswith("store")}
    for found in sets():
        findings = [finding(category) for category in found]
        verdict = try_judge([*findings, finding(Category.OVERSIZE)], policy(quarantine=everything))
        assert (verdict.action, verdict.category, verdict.keep) == (Action.REJECT, Category.OVERSIZE, ())


@pytest.mark.parametrize(
    ("on_error", "action"),
    [(OnError.DEFER, Action.DEFER), (OnError.ACCEPT, Action.DELIVER), (OnError.QUARANTINE, Action.HOLD)],
)
def test_a_filter_that_cannot_say_is_answered_by_its_on_error(on_error: OnError, action: Action) -> None:
    relay_all = policy({"relay_bad_attachments": True})
    verdict = try_judge([finding(Category.UNSURE, on_error=on_error)], relay_all)
    assert verdict.action is action
    if action is Action.HOLD:
        assert verdict.keep == (system_keep(RECEIVED, 31),)
    assert try_judge([finding(Category.VIRUS), finding(Category.UNSURE, on_error=OnError.DEFER)], policy()).action is (
        Action.DEFER
    )


@pytest.mark.parametrize("category", sorted(OUTWEIGHED))
def test_threat_66_what_a_rule_would_outweigh_is_put_off_while_nobody_can_say_whether_it_holds(
    category: Category,
) -> None:
    doubt = finding(Category.ALLOWED, on_error=OnError.DEFER, kind=Kind.SENDER_UNSURE)
    held = policy({"relay_spam": False, "relay_advert": False, "relay_bad_headers": False})
    verdict = try_judge([finding(category), doubt], held)
    assert (verdict.action, verdict.category) == (Action.DEFER, Category.UNSURE)
    assert [one.kind for one in verdict.because if one.category is Category.UNSURE] == [Kind.SENDER_UNSURE]
    assert try_judge([finding(category), doubt, finding(Category.ALLOWED)], held).action is Action.DELIVER
    assert try_judge([finding(category), finding(Category.VIRUS), doubt], held).action is Action.REJECT


def test_a_rule_in_doubt_changes_nothing_of_a_mail_that_passes_without_it() -> None:
    doubt = finding(Category.ALLOWED, on_error=OnError.DEFER)
    assert try_judge([doubt], policy()).action is Action.DELIVER
    assert try_judge([finding(Category.SPAM), doubt], policy({"relay_spam": True})).action is Action.DELIVER


def test_a_hold_that_no_store_flag_asks_for_is_kept_by_the_system_also_without_quarantine() -> None:
    verdict = try_judge([finding(Category.BAD_ATTACHMENT, hold=True)], policy(), system_days=31)
    assert (verdict.action, verdict.category) == (Action.HOLD, Category.BAD_ATTACHMENT)
    assert [(keep.folder, keep.until) for keep in verdict.keep] == [(Folder.SYSTEM, RECEIVED + 31 * DAY)]
    stored = try_judge(
        [finding(Category.BAD_ATTACHMENT, hold=True)], policy(quarantine={"store_bad_attachments": True})
    )
    assert [keep.folder for keep in stored.keep] == [Folder.QUARANTINE]


@pytest.mark.parametrize("relayed", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_content_that_cannot_be_looked_into_is_held_or_refused_whatever_the_policy_says(
    relayed: bool, stored: bool
) -> None:
    """Rules 3, threats 53, 54, 56."""
    of = policy({"relay_bad_attachments": relayed}, quarantine={"store_bad_attachments": stored})
    held = try_judge([finding(Category.BAD_ATTACHMENT, hold=True)], of)
    assert (held.action, held.keep[0].folder) == (Action.HOLD, Folder.QUARANTINE if stored else Folder.SYSTEM)
    refused = try_judge([finding(Category.BAD_ATTACHMENT, hold=False)], of)
    assert (refused.action, refused.keep) == (Action.REJECT, ())


@pytest.mark.parametrize("outgoing", [False, True])
@pytest.mark.parametrize("flag_in", [False, True])
@pytest.mark.parametrize("flag_out", [False, True])
def test_clean_mail_is_kept_by_its_direction(outgoing: bool, flag_in: bool, flag_out: bool) -> None:
    flags = {"store_clean_mail_in": flag_in, "store_mail_out": flag_out}
    verdict = try_judge([], policy(retention=flags, archive=flags), outgoing=outgoing)
    kept = flag_out if outgoing else flag_in
    folders = [Folder.SENT if outgoing else Folder.INBOX, Folder.ARCHIVE]
    assert [keep.folder for keep in verdict.keep] == (folders if kept else [])


def test_terms_are_days_days_and_months() -> None:
    of = policy(quarantine={"store_spam": True}, archive={"store_spam": True})
    quarantine, archive = try_judge([finding(Category.SPAM)], of).keep
    assert quarantine.until == RECEIVED + 31 * DAY
    assert archive.until == months_later(RECEIVED, 48)
    (retention,) = try_judge([], policy(retention={"store_clean_mail_in": True})).keep
    assert retention.until == RECEIVED + 5 * DAY


def test_months_end_on_the_last_day_where_the_day_is_missing() -> None:
    january_31 = 1_769_860_800_000  # 2026-01-31T12:00:00Z
    february_28 = 1_772_280_000_000  # 2026-02-28T12:00:00Z
    assert months_later(january_31, 1) == february_28
    assert months_later(january_31, 12) == january_31 + 365 * DAY


def test_an_outside_member_of_a_group_gets_clean_mail_alone() -> None:
    relay = policy({"relay_spam": True, "spam_score_limit": 100.0})
    assert try_judge([finding(Category.SPAM)], relay, clean_only=True).action is Action.REJECT
    assert try_judge([], relay, clean_only=True).action is Action.DELIVER


def test_a_domain_without_room_gets_no_copies_for_retention_and_archive() -> None:
    archive = {"store_spam": True, "store_clean_mail_in": True}
    all_on = policy(quarantine={"store_spam": True}, archive=archive, retention={"store_clean_mail_in": True})
    clean = try_judge([], all_on, full=True)
    assert (clean.action, clean.keep) == (Action.DELIVER, ())
    assert "the domain has no room left: not kept for retention or archive" in clean.path
    spam = try_judge([finding(Category.SPAM)], all_on, full=True)
    assert (spam.action, [keep.folder for keep in spam.keep]) == (Action.HOLD, [Folder.QUARANTINE])
    assert try_judge([finding(Category.SPAM)], policy(archive=archive), full=True).action is Action.REJECT


def test_the_path_says_how_the_judge_came_to_it() -> None:
    verdict = try_judge([finding(Category.SCORE, 7)], policy(quarantine={"store_spam": True}))
    assert verdict.path == (
        "score 7 reaches the spam score 5",
        "SPAM: the policy does not deliver it",
        "kept as SPAM",
    )
    assert [f.symbol for f in verdict.because] == ["SCORE"]
