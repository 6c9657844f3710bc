"""The relay against the load tools alone and a plain Postfix, side by side on loopback: mails a second, CPU, memory.

    .venv/bin/python -m bench.relay [--quick] [--loads "4K new,1M reused"] [--runs 3] [--no-postfix] [--no-rules]
                                     [--with-rspamd]

Needs Debian's postfix package (smtp-source, smtp-sink, postfix), and rspamd for the last. Everything shares the
machine's cores; the load is bounded by the counts below and goes to loopback only. Each subject gets some mails of a
load first, so that what is measured is warm; then they take turns. Prints a Markdown table of medians, and what was
aimed at.
"""

import argparse
import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.rig import Gateway, Load, cpu_seconds, names, peak_rss, send, sink
from bench.rspamd import filtered
from tests.peers.postfix import Postfix, running

TOOLS, POSTFIX, GATEPOST = "load tools alone", "Postfix, no filter", "Gatepost"
RSPAMD, RULES = "Postfix + Rspamd", "Gatepost, rules alone"
# What is asked beyond rules, sizes, headers, encodings, attachments and links: proofs, score and what goes with them.
BEYOND = ("advert", "classifier", "reputation", "score", "sender_verify")
RULES_ALONE = "[auth]\nenabled = false\n" + "".join(f"[filters.{name}]\nenabled = false\n" for name in BEYOND)
LOADS = [
    Load("4K new", 4_000, 6000, 50, False),
    Load("4K reused", 4_000, 12000, 50, True),
    Load("4K unlike", 4_000, 6000, 50, True, unlike=True),
    Load("4K single session", 4_000, 2000, 1, True),
    Load("50K reused", 50_000, 2000, 20, True),
    Load("50K with a PDF", 50_000, 1500, 20, True, "pdf"),
    Load("1M reused", 1_000_000, 200, 8, True, "pdf"),
    Load("25M reused", 25_000_000, 9, 3, True, "pdf"),
]
# Seconds, at least, that each is under load before it is measured. By then readers are ready, and the write-ahead log
# has its length: while it grows, for some 600 lone mails, each commit takes up to twice as long.
WARM = 3.0
AIMS = {  # of each load: whose rate is at least which share of whose
    "4K new": [(RULES, TOOLS, 0.20), (RULES, POSTFIX, 2.0), (GATEPOST, POSTFIX, 1.0), (GATEPOST, RSPAMD, 3.0)],
    "4K reused": [(RULES, TOOLS, 0.25), (RULES, POSTFIX, 2.0), (GATEPOST, POSTFIX, 1.0), (GATEPOST, RSPAMD, 3.0)],
    "4K unlike": [(GATEPOST, POSTFIX, 1.0), (GATEPOST, RSPAMD, 3.0)],
    "4K single session": [(RULES, POSTFIX, 1.0)],
    "50K reused": [(RULES, TOOLS, 0.25), (GATEPOST, RSPAMD, 2.5)],
    "50K with a PDF": [(RULES, TOOLS, 0.25), (GATEPOST, RSPAMD, 2.5)],
    "1M reused": [(RULES, TOOLS, 0.45), (GATEPOST, RSPAMD, 1.5)],
    "25M reused": [(RULES, TOOLS, 0.45)],
}


@dataclass
class Result:
    """Delivered mails a second, CPU seconds for 1,000 mails, peak megabytes, commits a mail; one entry a run."""

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)

    def share(self, of: "Result") -> float | None:
        """Return the rate as a share of another's, run by run: those of one run saw the machine in one mood."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.rate, of.rate, strict=True))


class Subject:
    """What is measured, as it runs: where it listens, what it is the process of, and when it is done."""

    def __init__(
        self,
        port: int,
        *,
        pids: Sequence[int] = (),
        idle: Callable[[int], bool] = lambda sent: True,
        commits: Callable[[], float] | None = None,
    ) -> None:
        self._port = port
        self._pids = pids
        self._idle = idle
        self._commits = commits
        self._sent = 0

    def take(self, load: Load, folder: Path) -> float:
        """Have a load delivered, to the last mail; return the seconds."""
        started = time.perf_counter()
        send(load, self._port, folder)
        self._sent += load.count
        while not self._idle(self._sent):
            time.sleep(0.02)
        return time.perf_counter() - started

    def measure(self, load: Load, folder: Path, result: Result) -> None:
        commits = self._commits() if self._commits else 0.0
        cpu = sum(map(cpu_seconds, self._pids))
        result.rate.append(load.count / self.take(load, folder))
        if self._pids:
            result.cpu.append((sum(map(cpu_seconds, self._pids)) - cpu) * 1000 / load.count)
            result.rss.append(sum(map(peak_rss, self._pids)))
        if self._commits:
            result.commits.append((self._commits() - commits) / load.count)


@contextmanager
def tools(folder: Path) -> Iterator[Subject]:
    with sink() as hop:
        yield Subject(hop)


@contextmanager
def postfix(folder: Path) -> Iterator[Subject]:
    with sink() as hop, running(Postfix(folder / "postfix", f"[127.0.0.1]:{hop}")) as peer:
        yield Subject(peer.port, pids=[peer.pid], idle=lambda sent: not peer.queued())


@contextmanager
def rspamd(folder: Path) -> Iterator[Subject]:
    with sink() as hop, names() as server, filtered(folder, hop, server) as (peer, milter):
        yield Subject(peer.port, pids=[peer.pid, milter.pid], idle=lambda sent: not peer.queued())


@contextmanager
def gatepost(folder: Path, more: str = "") -> Iterator[Subject]:
    (folder / "gatepost").mkdir()
    with sink() as hop, names() as server:
        gateway = Gateway(folder / "gatepost", hop, server, more=more)
        try:
            yield Subject(
                gateway.port,
                pids=[gateway.pid],
                idle=lambda sent: gateway.delivered() >= sent,
                commits=lambda: gateway.metric("gatepost_store_commits_total"),
            )
        finally:
            gateway.stop()


SUBJECTS = {
    TOOLS: tools,
    POSTFIX: postfix,
    RSPAMD: rspamd,
    RULES: lambda folder: gatepost(folder, RULES_ALONE),
    GATEPOST: gatepost,
}


def run(load: Load, runs: int, subjects: list[str]) -> dict[str, Result]:
    """Measure each subject so many times; they take turns, so that the machine's moods fall on all alike."""
    results = {name: Result() for name in subjects}
    warm = replace(load, count=max(2 * load.sessions, load.count // 10, 400_000 // load.size))
    for _ in range(runs):
        for name in subjects:
            folder = Path(tempfile.mkdtemp(prefix="gatepost-bench-"))
            folder.chmod(0o755)
            try:
                with SUBJECTS[name](folder) as subject:
                    until = time.perf_counter() + WARM
                    subject.take(warm, folder)
                    while time.perf_counter() < until:
                        subject.take(warm, folder)
                    subject.measure(load, folder, results[name])
            finally:
                shutil.rmtree(folder)
    return results


def show(load: Load, results: dict[str, Result]) -> None:
    for name, result in results.items():
        shares = [_share(result, results.get(TOOLS)), _share(result, results.get(POSTFIX))]
        told = [_shown(result.cpu, 2), _shown(result.rss, 0), _shown(result.commits, 3)]
        spread = f"{_shown(result.rate, 1)} ({min(result.rate):,.0f}-{max(result.rate):,.0f})"
        print(f"| {load.name} | {name} | {spread} | {' | '.join(shares + told)} |", flush=True)


def aims(load: Load, results: dict[str, Result]) -> Iterator[str]:
    """Yield a row for each aim that the load has: what was measured, and whether it is reached."""
    for whose, other, aim in AIMS.get(load.name, ()):
        if whose in results and other in results:
            share = results[whose].share(results[other])
            reached = "yes" if share >= aim else "no"
            yield f"| {load.name} | {whose} / {other} | {aim:.2f} | {share:.2f} | {reached} |"
    commits = results[GATEPOST].commits
    if load.sessions == 50:
        value = statistics.median(commits)
        yield f"| {load.name} | commits a mail | 0.10 | {value:.3f} | {'yes' if value <= 0.1 else 'no'} |"


def _share(result: Result, of: Result | None) -> str:
    return f"{result.share(of):.2f}" if of else ""


def _shown(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f}" if values else ""


def machine() -> str:
    load = os.getloadavg()[0]
    mood = "; it is busy: compare CPU seconds and ratios, not rates" if load > 0.5 else ""
    return (
        f"{os.cpu_count()} processors, load {load:.1f}{mood}; Linux {platform.release()},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", help="names of loads, comma-separated; default: all")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the mails")
    parser.add_argument("--no-postfix", action="store_true")
    parser.add_argument("--no-rules", action="store_true", help="leave out Gatepost with its rules alone")
    parser.add_argument("--with-rspamd", action="store_true", help="and Postfix with Rspamd as its milter")
    given = parser.parse_args()
    known = {load.name: load for load in LOADS}
    wanted = given.loads.split(",") if given.loads else list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no load is called {', '.join(unknown)}; there are: {', '.join(known)}")
    loads = [known[name] for name in wanted]
    if given.quick:
        loads = [replace(load, count=max(3, load.count // 10)) for load in loads]
    left = {POSTFIX: given.no_postfix, RULES: given.no_rules, RSPAMD: not given.with_rspamd}
    subjects = [name for name in SUBJECTS if not left.get(name)]
    print(f"{machine()}; medians of {given.runs} runs\n")
    print("| load | server | mails/s | of the tools | of Postfix | CPU s/1,000 | peak RSS MB | commits/mail |")
    print("|---|---|---|---|---|---|---|---|")
    rows: list[str] = []
    for load in loads:
        results = run(load, given.runs, subjects)
        show(load, results)
        rows += aims(load, results)
    print("\n| load | what | aim | measured | reached |\n|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
