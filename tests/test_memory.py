"""The tests run in memory only where it has room for them, in a container too."""

from pathlib import Path

import pytest
from tests.memory import ROOM, has_room

MEMORY = "/dev/shm"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with much room, no control group and a process in none."""
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text(f"MemTotal: {ROOM} kB\nMemAvailable:   {ROOM} kB\n")
    (tmp_path / "self/cgroup").write_text("0::/\n")
    (tmp_path / "groups").mkdir()
    return tmp_path


def told(machine: Path) -> bool:
    return has_room(MEMORY, machine, machine / "groups")


@pytest.mark.skipif(not has_room(MEMORY), reason=f"{MEMORY} has no {ROOM} octets, against which limits are told")
@pytest.mark.parametrize(
    ("process", "group", "most", "used", "room"),
    [
        ("0::/", ".", "max", 0, True),
        ("0::/", ".", ROOM + 9, 9, True),
        ("0::/", ".", ROOM + 9, 10, False),
        ("0::/docker/x", ".", ROOM - 1, 0, False),  # the path as the host has it
        ("0::/a/b", "a", ROOM - 1, 0, False),
        ("3:cpu:/\n2:memory:/x\n0::/", "memory/x", ROOM - 1, 0, False),
        ("2:cpu,memory:/x\n1:cpu:/y", "cpu/y", ROOM - 1, 0, True),
    ],
)
def test_what_the_control_groups_allow_counts(
    machine: Path, process: str, group: str, most: object, used: int, room: bool
) -> None:
    (machine / "self/cgroup").write_text(f"{process}\n")
    folder = machine / "groups" / group
    folder.mkdir(parents=True, exist_ok=True)
    names = ("limit_in_bytes", "usage_in_bytes") if "memory" in group else ("max", "current")
    for name, value in zip(names, (most, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")
    assert told(machine) is room


def test_a_machine_that_is_short_or_another_system_has_none(machine: Path) -> None:
    (machine / "meminfo").write_text("MemAvailable: 1000000 kB\n")
    assert not told(machine)
    assert not has_room(MEMORY, machine / "nowhere")
