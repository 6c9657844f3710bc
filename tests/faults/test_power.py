"""78: the power fails at any moment; what was acknowledged is on the disc, whatever the kernel still held back."""

import fcntl
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.killer import NUMBERS, House, script
from tests.peers.sink import Sink

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

SHUTDOWN, NO_FLUSH = 0x8004587D, 2  # FS_IOC_SHUTDOWN, FS_SHUTDOWN_FLAGS_NOLOGFLUSH of linux/fs.h


LONG = [line for turn in range(6) for line in script(turn * NUMBERS)]


class Disc:
    """An ext4 file system in a file; `cut` stops it without writing anything more, `mount` starts it again."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "image"
        self.place = folder / "disc"
        self.place.mkdir()
        with self.image.open("wb") as image:
            image.truncate(64 << 20)
        run("mkfs.ext4", "-q", "-F", str(self.image))

    def mount(self) -> None:
        run("mount", "-o", "loop", str(self.image), str(self.place))

    def unmount(self) -> None:
        run("umount", str(self.place))

    def cut(self) -> None:
        handle = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(handle)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} failed; this needs e2fsprogs, root and loop devices: {done.stderr}"


@pytest.fixture
def disc(tmp_path: Path) -> Iterator[Disc]:
    made = Disc(tmp_path)
    made.mount()
    yield made
    subprocess.run(["umount", "-l", str(made.place)], check=False)


@pytest.mark.parametrize("seed", range(6))
async def test_78_a_power_cut_loses_nothing_that_was_acknowledged(disc: Disc, furnished: Path, seed: int) -> None:
    directory = disc.place / "state"
    shutil.copytree(furnished, directory)
    os.sync()
    after = random.Random(seed).uniform(0.03, 0.5)
    async with Sink() as sink:
        house = House(directory, sink)
        assert await house.walk(LONG, after=after, cut=disc.cut) == -9
        disc.unmount()
        disc.mount()
        await house.compare()
