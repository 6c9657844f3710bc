"""How well spam is told from clean mail: confusion tables of the built-in score beside SpamAssassin's, same mails.

The mails are halved by their names: weights are fitted to one half and the classifier learns from it; the tables count
the other. With --splits they are halved in other ways, too, for the classifier; the rules' weights
stay as they are, so that they were fitted to some of the mails that they are tried on then. Mails stand as files in
folders, one a file, with or without the line of an mbox in front.

Run: python bench/accuracy.py [--spamd] [--ham DIR ...] [--spam DIR ...] [--advert DIR ...] [--splits N] [--misses]
"""

import argparse
import asyncio
import hashlib
import ipaddress
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.filters.registry import Cost, Filter, Tools, load
from gatepost.message import tokens
from gatepost.message.headers import sent
from gatepost.message.mail import Mail, Opener
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.auth import AuthResults
from gatepost.model.envelope import Body, Client, Direction, Envelope, Recipient
from gatepost.model.memory import Memory
from gatepost.model.policy import default_policy
from gatepost.model.verdict import Category, Finding
from gatepost.mta.judge import Case, judge
from gatepost.settings import Dns, Filters, Limits, MemorySettings

CORPUS = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[2] / "shared/testdata") / "sa-public-corpus"
LABELS = {"clean": Category.CLEAN, "advert": Category.ADVERT, "spam": Category.SPAM}
POLICY = default_policy(1, "ours.test", quarantine=True, retention=False, archive=False)
RATES = (0.0, 0.001, 0.003, 0.01, 0.02)  # shares of clean mail taken for spam at which the judges are compared
QUESTIONS = ("score", "advert")  # the filters whose findings count here
LEARNING = "classifier"
SPAMD_PATIENCE = 60.0  # seconds for one mail


class Letter(NamedTuple):
    """A mail of the corpus and what it is; `data` as it goes on the wire, `auth` what is proven of its sender."""

    name: str
    label: str
    data: bytes
    auth: AuthResults | None = None


class Said(NamedTuple):
    """What a judge says of a mail, and by which symbols."""

    category: Category
    score: float
    symbols: tuple[str, ...]


Judge = Callable[[Sequence[Letter]], list[Said]]


# --- the mails -------------------------------------------------------------------------------------------------------


def letters(label: str, folders: Sequence[Path]) -> Iterator[Letter]:
    for folder in folders:
        for path in sorted(path for path in folder.iterdir() if path.is_file() and path.name not in _NO_MAILS):
            data = path.read_bytes().replace(b"\r\n", b"\n")
            if data.startswith(b"From "):
                data = data.partition(b"\n")[2]
            yield Letter(path.name, label, data.replace(b"\n", b"\r\n"))


_NO_MAILS = {"cmds", "SOURCE.txt"}


def halves(found: Sequence[Letter], split: int = 0) -> tuple[list[Letter], list[Letter]]:
    """Return one half to learn from, and the other to be judged; which mail falls where hangs on its name alone."""
    salt = str(split).encode() if split else b""
    sides: tuple[list[Letter], list[Letter]] = ([], [])
    for letter in found:
        sides[hashlib.sha256(salt + letter.name.encode()).digest()[0] & 1].append(letter)
    return sides


_STATION = re.compile(rb"\s*from\s+(\S+)\s*\((?:[^()]*?\[)?([0-9a-fA-F.:]{3,45})\]?[^()]*\)")
_FOR = re.compile(rb"\bfor\s+<?([^\s<>;]+@[^\s<>;]+)")


def envelope(received: Sequence[bytes], return_path: bytes, date: int | None) -> Envelope:
    """Return the envelope that a mail came in, as the topmost Received field with a client from outside tells it."""
    border = next((value for value in received if _outside(value)), b"")
    peer = _STATION.match(border)
    helo, ip = (peer[1].decode("ascii", "replace"), peer[2].decode()) if peer else ("", "192.0.2.1")
    named = _FOR.search(border)
    to = _address(named[1] if named else b"") or Address("someone", "ours.test")
    return Envelope(
        id="0" * 32,
        client=Client(ip=ip, helo=helo),
        sender=_address(return_path),
        recipients=(Recipient(address=to, given=to, domain_id=1, policy=POLICY),),
        direction=Direction.IN,
        received=_when(border) or next(filter(None, map(_when, received)), None) or (date or 0),
    )


def _when(received: bytes) -> int | None:
    return sent(received.rpartition(b";")[2])


def _outside(received: bytes) -> bool:
    peer = _STATION.match(received)
    try:
        return bool(peer) and ipaddress.ip_address(peer[2].decode()).is_global
    except ValueError:
        return False


def _address(text: bytes) -> Address | None:
    try:
        return parse_address(text.strip(b" <>\t\r\n").decode("ascii", "replace"))
    except BadAddress:
        return None


async def opened(letter: Letter, opener: Opener) -> Mail:
    """Return a mail as the pipeline would hand it to the filters."""
    body = Body(size=len(letter.data), data=letter.data)
    anatomy = await opener.open(body)
    first = next(iter(anatomy.values(b"return-path")), b"")
    mail = Mail(envelope(anatomy.values(b"received"), first, anatomy.summary.sent), body, opener)
    mail.auth = letter.auth
    return mail


# --- the judges ------------------------------------------------------------------------------------------------------


def rules(_: Sequence[Letter]) -> Judge:
    """The built-in rules as they come; nothing has been learned."""
    return Gatepost(_filters(QUESTIONS))


def taught(learned: Sequence[Letter]) -> Judge:
    """The built-in rules, and the classifier that has learned."""
    return Gatepost(_filters((*QUESTIONS, LEARNING), lessons(learned)))


def classifier(learned: Sequence[Letter]) -> Judge:
    """The classifier alone."""
    return Gatepost(_filters((LEARNING,), lessons(learned)))


def lessons(learned: Sequence[Letter]) -> Memory:
    """Return the memory of one who was taught these mails; adverts count as clean."""
    memory = Memory(MemorySettings().token_bytes)

    async def learn() -> None:
        opener = Opener(Filters(), Limits())
        for letter in learned:
            anatomy = await opener.open(Body(size=len(letter.data), data=letter.data))
            spam = letter.label == "spam"
            memory.tokens.learn(0, tokens.keys(tokens.gist(anatomy)), int(spam), int(not spam), 0)
        await opener.close()

    asyncio.run(learn())
    return memory


JUDGES: dict[str, Callable[[Sequence[Letter]], Judge]] = {
    "Gatepost, rules only": rules,
    "Gatepost, rules and classifier": taught,
    "Gatepost, classifier alone": classifier,
}
"""By name: makes a judge, given the mails it may learn from."""


class Gatepost:
    """Judges by filters and the policy that a new domain gets."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = filters

    def __call__(self, found: Sequence[Letter]) -> list[Said]:
        return asyncio.run(self._judge(found))

    async def _judge(self, found: Sequence[Letter]) -> list[Said]:
        opener = Opener(Filters(), Limits())
        said, spent = [], 0.0
        for letter in found:
            mail = await opened(letter, opener)
            await mail.anatomy()
            started = time.process_time()
            findings = await self.findings(mail)
            spent += time.process_time() - started
            verdict = judge(findings, Case(policy=POLICY, received=mail.envelope.received))
            said.append(Said(verdict.category, verdict.score, tuple(finding.symbol for finding in findings)))
        await opener.close()
        names = ", ".join(one.name for one in self._filters)
        print(f"{spent / len(found) * 1000:.3f} ms of CPU a mail in the filters {names}\n")
        return said

    async def findings(self, mail: Mail) -> list[Finding]:
        recipient = mail.envelope.recipients[0]
        return [finding for one in self._filters for finding in await one.examine(mail, recipient)]


def _filters(names: Sequence[str], memory: Memory | None = None) -> list[Filter]:
    resolver = Resolver(Dns(servers=["127.0.0.1:1"]), wall_clock)
    tools = Tools(limits=Limits(), resolver=resolver, memory=memory or Memory())
    return [one for one in load(Filters(), tools) if one.name in names and one.cost <= Cost.PARSE]


class Spamd:
    """Judges by SpamAssassin's local tests, over its own protocol."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self, found: Sequence[Letter]) -> list[Said]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self._ask, found))

    def _ask(self, letter: Letter) -> Said:
        data = letter.data.replace(b"\r\n", b"\n")
        with socket.create_connection(("127.0.0.1", self._port), SPAMD_PATIENCE) as peer:
            peer.sendall(b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(data) + data)
            peer.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: peer.recv(65536), b"")).decode("ascii", "replace")
        result = re.search(r"^Spam: (\w+) ; (-?[\d.]+)", answer, re.MULTILINE)
        assert result, answer
        category = Category.SPAM if result[1] == "True" else Category.CLEAN
        return Said(category, float(result[2]), tuple(answer.split()[-1].split(",")))


@contextmanager
def spamd() -> Iterator[Spamd]:
    """Start a spamd of our own, which asks nobody else (-L)."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        command = ["spamd", "-L", "-x", "-c", "-i", "127.0.0.1", "-A", "127.0.0.1", "-p", str(port), "-m", "2"]
        command += ["--min-children=2", "-H", home, "-s", f"{home}/log"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            _wait(port)
            yield Spamd(port)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _wait(port: int) -> None:
    for _ in range(150):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("spamd does not answer")


# --- the tables ------------------------------------------------------------------------------------------------------


def table(name: str, found: Sequence[Letter], said: Sequence[Said]) -> str:
    """Return the confusion table of one judge."""
    counts = Counter((letter.label, each.category) for letter, each in zip(found, said, strict=True))
    lines = [f"| {name} | {' | '.join(f'judged {label}' for label in LABELS)} | right |"]
    lines += ["| --- " * (len(LABELS) + 2) + "|"]
    for label in LABELS:
        total = sum(counts[label, category] for category in LABELS.values())
        if total:
            shares = " | ".join(str(counts[label, category]) for category in LABELS.values())
            lines.append(f"| {label} ({total}) | {shares} | {counts[label, LABELS[label]] / total:.1%} |")
    return "\n".join(lines) + "\n"


def comparison(found: Sequence[Letter], judged: dict[str, list[Said]]) -> str:
    """Return the share of spam that each judge finds where its threshold lets so much clean mail be taken for spam."""
    lines = ["| judge | " + " | ".join(f"at {rate:.1%}" for rate in RATES) + " |"]
    lines += ["| --- " * (len(RATES) + 1) + "|"]
    for name, said in judged.items():
        spam = [each.score for letter, each in zip(found, said, strict=True) if letter.label == "spam"]
        clean = sorted(
            (each.score for letter, each in zip(found, said, strict=True) if letter.label != "spam"), reverse=True
        )
        limits = [clean[int(rate * len(clean))] for rate in RATES]
        shares = [sum(score > limit for score in spam) / len(spam) for limit in limits]
        lines.append(f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    return "\n".join(lines) + "\n"


def misses(found: Sequence[Letter], said: Sequence[Said]) -> Iterator[str]:
    for letter, each in zip(found, said, strict=True):
        if each.category is not LABELS[letter.label]:
            symbols = " ".join(each.symbols)
            yield f"{letter.label} taken for {each.category.name}: {letter.name} {each.score:g} {symbols}"


def options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that name the mails."""
    for name in ("ham", "spam", "advert"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=[], metavar="DIR", help=f"folders of {name}")
    return parser


def corpus(chosen: argparse.Namespace) -> list[Letter]:
    """Return the mails that the options name, or those of the public corpus."""
    folders = {"clean": chosen.ham, "advert": chosen.advert, "spam": chosen.spam}
    if not any(folders.values()):
        folders |= {"clean": [CORPUS / "easy-ham-1"], "spam": [CORPUS / "spam-1"]}
    return [letter for label, each in folders.items() for letter in letters(label, each)]


def main() -> None:
    arguments = options(argparse.ArgumentParser(description=__doc__))
    arguments.add_argument("--spamd", action="store_true", help="also ask SpamAssassin's spamd -L, which is started")
    arguments.add_argument("--misses", action="store_true", help="name the mails that are misjudged")
    arguments.add_argument("--splits", type=int, default=1, metavar="N", help="ways to halve the mails")
    chosen = arguments.parse_args()
    found = corpus(chosen)
    for split in range(chosen.splits):
        if chosen.splits > 1:
            print(f"## Split {split}\n")
        _try(*halves(found, split), chosen)


def _try(learned: Sequence[Letter], tried: Sequence[Letter], chosen: argparse.Namespace) -> None:
    judged = {name: make(learned)(tried) for name, make in JUDGES.items()}
    if chosen.spamd:
        with spamd() as local:
            judged["SpamAssassin, spamd -L"] = local(tried)
    for name, said in judged.items():
        print(table(name, tried, said))
        if chosen.misses:
            print(*misses(tried, said), "", sep="\n")
    print(comparison(tried, judged))


if __name__ == "__main__":
    main()
