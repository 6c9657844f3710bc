"""How long it takes to take a mail apart: realistic mails of four sizes, best and median of several runs.

Then the same for rules that would backtrack for ages, over a megabyte, and for the start of a worker.

Run: python bench/message.py
"""

import asyncio
import base64
import random
import statistics
import time
from collections.abc import Callable
from functools import partial

from gatepost.message.anatomy import Anatomy
from gatepost.message.mail import Opener
from gatepost.message.parse import dissect
from gatepost.message.patterns import compile_rule
from gatepost.message.table import Unpacked
from gatepost.model.envelope import Body
from gatepost.settings import Filters, Limits

HEADERS = (
    "Received: from mx.example.net (mx.example.net [192.0.2.7])\r\n"
    "\tby mail.example.org (Postfix) with ESMTPS id 4AB3\r\n"
    "\tfor <ada@example.org>; Fri, 20 Nov 2026 10:11:12 +0100 (CET)\r\n"
    "Received: from [10.0.0.5] (unknown [10.0.0.5]) by mx.example.net; Fri, 20 Nov 2026 10:11:10 +0100\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=s1;\r\n\th=from:to:subject:date;\r\n"
    "\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=" + "Ab3/" * 60 + "\r\n"
    "From: =?utf-8?Q?Ren=C3=A9e_Example?= <renee@example.net>\r\nTo: Ada <ada@example.org>\r\n"
    'Cc: "Bob, B." <bob@example.org>\r\nSubject: =?utf-8?B?w5xiZXJzaWNodA==?= of the week\r\n'
    "Date: Fri, 20 Nov 2026 10:11:09 +0100\r\nMessage-ID: <20261120.1@example.net>\r\nMIME-Version: 1.0\r\n"
    "X-Mailer: Example 4.2\r\nList-Unsubscribe: <https://lists.example.net/u/1>\r\n"
)
PHRASE = "the report of last week shows that orders grew by a tenth while costs stayed as they were"
WORDS = PHRASE.split()


def prose(size: int, chance: random.Random) -> str:
    """Return lines of text with a link here and there."""
    lines: list[str] = []
    while sum(map(len, lines)) < size:
        line = " ".join(chance.choices(WORDS, k=12))
        lines.append(line + (f" https://www.example.com/p/{len(lines)}" if len(lines) % 15 == 3 else ""))
    return "\r\n".join(lines)


def page(size: int, chance: random.Random) -> str:
    """Return an HTML letter: a link for each 400 octets, a picture for each 1,200."""
    rows: list[str] = []
    while sum(map(len, rows)) < size:
        number = len(rows)
        picture = f'<img src="https://img.example.com/{number}.png" alt="">' if number % 3 == 0 else ""
        rows.append(
            f'<tr><td style="padding:4px;color:#333">{picture}<p>{" ".join(chance.choices(WORDS, k=45))}</p>'
            f'<a href="https://shop.example.com/item?id={number}&amp;x=1" class="more">{PHRASE[:30]}</a></td></tr>'
        )
    return "<html><body><table>\r\n" + "\r\n".join(rows) + "\r\n</table></body></html>"


def letter(text: int, html: int, attached: int, chance: random.Random) -> bytes:
    """Return a multipart mail: alternative texts, then an attachment in base64."""
    attachment = base64.encodebytes(b"\xff\xd8\xff\xe0\0\x10JFIF" + chance.randbytes(attached)).replace(b"\n", b"\r\n")
    mail = (
        f'{HEADERS}Content-Type: multipart/mixed; boundary="=_outer_4711"\r\n\r\n--=_outer_4711\r\n'
        'Content-Type: multipart/alternative; boundary="=_inner_4711"\r\n\r\n--=_inner_4711\r\n'
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        f"{prose(text, chance)}\r\n--=_inner_4711\r\n"
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        f"{page(html, chance)}\r\n--=_inner_4711--\r\n"
    ).encode()
    if attached:
        mail += b'--=_outer_4711\r\nContent-Type: image/jpeg; name="photo.jpg"\r\nContent-Transfer-Encoding: base64\r\n'
        mail += b'Content-Disposition: attachment; filename="photo.jpg"\r\n\r\n' + attachment
    return mail + b"--=_outer_4711--\r\n"


def samples() -> dict[str, bytes]:
    chance = random.Random(7)
    plain = (
        HEADERS
        + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        + prose(2400, chance)
    )
    return {
        "4 KB plain": plain.encode(),
        "4 KB": letter(900, 900, 0, chance),
        "50 KB": letter(4_000, 12_000, 24_000, chance),
        "1 MB": letter(10_000, 40_000, 700_000, chance),
        "25 MB": letter(10_000, 40_000, 18_500_000, chance),
    }


def measure(act: Callable[[], object], seconds: float = 1.5) -> tuple[float, float]:
    """Return the best and the median time in milliseconds."""
    act()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < until:
        start = time.perf_counter()
        act()
        times.append((time.perf_counter() - start) * 1000)
    return min(times), statistics.median(times)


def take_apart(data: bytes) -> Anatomy:
    return dissect(data, Limits(), unpack=lambda *_: Unpacked())


RULES = ("(a+)+$|(x*)*y|(.*?,){25}P", "(x+x+)+y" * 50, "[a-q][^u-z]{13}x" * 20)


def start_worker() -> None:
    """Start the process that archives are opened in, have it answer once, and end it."""

    async def once() -> None:
        opener = Opener(Filters(), Limits())
        await opener.delegate(Body(1, b"x"))
        await opener.close()

    asyncio.run(once())


def main() -> None:
    print(f"{'mail':12} {'octets':>10} {'parts':>6} {'links':>6} {'best ms':>9} {'median ms':>10}")
    for name, data in samples().items():
        found = take_apart(data)
        best, median = measure(partial(take_apart, data))
        print(f"{name:12} {len(data):10} {len(found.parts):6} {len(found.links):6} {best:9.3f} {median:10.3f}")
    for rule in RULES:
        best, median = measure(partial(compile_rule(rule).found, "abcxdaefgh" * 100_000))
        print(f"{rule[:38]:41} {best:9.3f} {median:10.3f}")
    best, median = measure(start_worker)
    print(f"{'the start of a worker':41} {best:9.3f} {median:10.3f}")


if __name__ == "__main__":
    main()
