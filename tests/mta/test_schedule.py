"""The schedule: due times, turns among destinations, windows, claims."""

from gatepost.model.stored import Delivery
from gatepost.mta.schedule import FIRST, Entry, Lane, Schedule, Standing


class Plan:
    """A schedule and a way to fill it."""

    def __init__(self, concurrency: int = 100) -> None:
        self.schedule = Schedule(concurrency)
        self.last = 0

    def add(self, lane: str, *, due: int = 0, mail: str = "", limit: int = 10) -> int:
        self.last += 1
        mail_id = mail or f"mail{self.last}"
        row = Delivery(
            id=self.last, mail_id=mail_id, recipient="b@to.test", sender="", due=due, expires=9_999, created=0
        )
        self.schedule.add(Entry(row, self.schedule.lane(lane, limit), due, row=False), 0)
        return row.id

    def take(self, now: int = 0) -> list[int]:
        """The ids of the next batch; its place in the lane stays taken."""
        found = self.schedule.next(now, 100)
        return [entry.id for entry in found[1]] if found else []

    def answers(self, name: str, limit: int = 10) -> Lane:
        """A destination that has taken a mail before; hold it, or it is forgotten."""
        return self.hear(self.schedule.lane(name, limit))

    def hear(self, lane: Lane, *, answered: bool = True) -> Lane:
        self.schedule.learn(lane, answered=answered, refused=not answered, succeeded=answered)
        return lane


def test_destinations_take_turns_100() -> None:
    plan = Plan()
    lanes = [plan.answers(name) for name in ("busy", "live", "other")]
    for _ in range(5):
        plan.add(lanes[0].key)
    plan.add(lanes[1].key)
    plan.add(lanes[2].key)
    assert [plan.take() for _ in range(4)] == [[1], [6], [7], [2]]


def test_a_new_destination_gets_one_until_it_has_answered_100() -> None:
    plan = Plan()
    for _ in range(6):
        plan.add("new")
    found = plan.schedule.next(0, 100)
    assert found is not None and plan.take() == []
    plan.hear(found[0])
    plan.schedule.free(found[0])
    assert [plan.take() for _ in range(5)] == [[2], [3], [4], [5], []]


def test_of_a_mail_counts_what_is_due_or_claimed() -> None:
    plan = Plan()
    for due in (0, 0, 50):
        plan.add("live", due=due, mail="m")
    plan.add("live", mail="other")
    schedule = plan.schedule
    assert schedule.of_mail("m") == 2
    found = schedule.next(0, 1)
    assert found is not None and schedule.of_mail("m") == 2
    schedule.back(found[1][0], found[0], 70, 0)
    assert schedule.of_mail("m") == 1
    (late,) = schedule.claim([3])
    assert schedule.of_mail("m") == 2
    schedule.back(late, found[0], 0, 0)
    schedule.hasten([1], 0)
    assert schedule.of_mail("m") == 3
    for each in (1, 2, 3, 3):
        schedule.forget(each)
    assert (schedule.of_mail("m"), schedule.of_mail("other")) == (0, 1)


def test_strangers_take_no_place_of_those_who_answer_100() -> None:
    plan = Plan(concurrency=2)
    lane = plan.answers("live")
    for number in range(9):
        plan.add(f"new{number}")
    assert [plan.take() for _ in range(5)] == [[1], [2], [3], [4], []]
    for _ in range(3):
        plan.add(lane.key)
    assert [plan.take() for _ in range(3)] == [[10], [11], []]


def test_silent_destinations_share_a_few_places_and_new_ones_have_theirs_100() -> None:
    plan = Plan(concurrency=4)
    silent = [plan.hear(plan.schedule.lane(f"silent{number}", 10), answered=False) for number in range(3)]
    for lane in silent:
        plan.add(lane.key)
        plan.add(lane.key)
    plan.add("new")
    assert plan.take() == [7]
    found = plan.schedule.next(0, 100)
    assert found is not None and plan.take() == [3] and plan.take() == []
    plan.hear(found[0], answered=False)
    plan.schedule.free(found[0])
    assert [plan.take(), plan.take()] == [[5], []]


def test_what_is_under_way_when_a_destination_falls_silent_frees_its_places_100() -> None:
    plan = Plan(concurrency=2)
    dying, live = plan.answers("dying"), plan.answers("live")
    for _ in range(3):
        plan.add(dying.key)
    assert [plan.take() for _ in range(3)] == [[1], [2], []]
    plan.add(live.key)
    plan.add(live.key)
    assert plan.take() == []
    plan.hear(dying, answered=False)
    plan.schedule.free(dying)
    assert [plan.take() for _ in range(3)] == [[4], [5], []]
    plan.hear(dying)
    assert plan.take() == []


def test_a_full_destination_is_passed_over_until_a_place_is_free_103() -> None:
    plan = Plan()
    for _ in range(3):
        plan.add("slow", limit=1)
    plan.add("quick")
    found = plan.schedule.next(0, 100)
    assert found is not None
    assert plan.take() == [4]
    assert plan.take() == []
    plan.schedule.free(found[0])
    assert plan.take() == [2]


def test_recipients_of_one_mail_come_together_up_to_the_limit() -> None:
    plan = Plan()
    lane = plan.answers("a")
    for _ in range(3):
        plan.add(lane.key, mail="m")
    found = plan.schedule.next(0, 2)
    assert found is not None and [entry.id for entry in found[1]] == [1, 2]
    assert plan.take() == [3]


def test_what_is_not_due_waits() -> None:
    plan = Plan()
    lane = plan.answers("a")
    plan.add(lane.key, due=50)
    plan.add(lane.key, due=20)
    assert plan.schedule.next_due() == 20
    assert plan.take(19) == []
    assert plan.take(20) == [2]
    assert plan.schedule.next_due() == 50
    assert plan.take(60) == [1]
    assert plan.schedule.next_due() is None


def test_what_is_claimed_comes_back_only_when_it_is_given_back() -> None:
    plan = Plan()
    plan.add("a")
    found = plan.schedule.next(0, 1)
    assert found is not None
    lane, (entry,) = found
    assert plan.schedule.is_claimed(1) and plan.schedule.claimed == 1
    plan.schedule.hasten([1], 0)
    assert plan.take() == []
    plan.schedule.back(entry, lane, 30, 0)
    plan.schedule.free(lane)
    assert plan.take(29) == []
    assert plan.take(30) == [1]


def test_what_is_forgotten_does_not_come_ready_or_not() -> None:
    plan = Plan()
    plan.add("a")
    plan.add("a", due=10)
    assert plan.schedule.forget(1) and plan.schedule.forget(2)
    assert plan.schedule.forget(2) is None
    assert plan.take(20) == []
    assert len(plan.schedule) == 0


def test_what_is_hastened_comes_once() -> None:
    plan = Plan()
    plan.add("a", due=100)
    plan.schedule.hasten([1, 77], 5)
    assert plan.take(5) == [1]
    assert plan.take(200) == []


def test_the_same_delivery_is_not_taken_up_twice() -> None:
    plan = Plan()
    plan.add("a")
    plan.last = 0
    plan.add("a")
    assert len(plan.schedule) == 1
    assert [plan.take(), plan.take()] == [[1], []]


def test_a_window_halves_and_grows_by_one_103() -> None:
    schedule = Schedule(100)
    lane = schedule.lane("a", 8)
    assert (lane.window, lane.earned) == (1, FIRST)  # it has not answered yet
    for _ in range(8):
        schedule.learn(lane, answered=True, refused=False, succeeded=True)
    assert lane.window == 8
    schedule.learn(lane, answered=True, refused=True, succeeded=False)
    assert lane.window == 4
    schedule.learn(lane, answered=False, refused=True, succeeded=False)
    assert (lane.standing, lane.window, lane.earned) == (Standing.SILENT, 1, 2)
    for _ in range(5):
        schedule.learn(lane, answered=True, refused=True, succeeded=True)
    assert lane.window == 1
    for _ in range(20):
        schedule.learn(lane, answered=True, refused=False, succeeded=True)
    assert lane.window == 8


def test_a_new_limit_holds_for_a_known_destination() -> None:
    schedule = Schedule(100)
    lane = schedule.lane("a", 8)
    assert schedule.lane("a", 2) is lane
    assert (lane.limit, lane.earned) == (2, 2)


def test_nothing_waits_longer_than_the_clamp_86() -> None:
    plan = Plan()
    lane = plan.answers("a")
    plan.add(lane.key, due=1_000_000)
    plan.add(lane.key, due=30)
    plan.schedule.clamp(60)
    assert plan.take(59) == [2]
    assert plan.take(60) == [1]
