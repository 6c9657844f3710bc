"""Peak memory (PSS of the daemon and its workers) while many large mails come in at once.

.venv/bin/python -m bench.memory [--rounds 10x25,50x30]
"""

import argparse
import tempfile
import threading
from pathlib import Path

from bench.rig import Gateway, Load, names, pss, send, sink


def peak(sessions: int, megabytes: int, folder: Path) -> tuple[float, float]:
    """Return the megabytes before, and at the peak, of so many mails at once."""
    with sink() as hop, names() as server:
        gateway = Gateway(folder, hop, server)
        try:
            before = highest = pss(gateway.pid)
            load = Load("large", megabytes * 1_000_000, sessions, sessions, True, "pdf")
            sender = threading.Thread(target=send, args=(load, gateway.port, folder))
            sender.start()
            while sender.is_alive() or gateway.delivered() < sessions:
                highest = max(highest, pss(gateway.pid))
                sender.join(0.02)
        finally:
            gateway.stop()
    return before, highest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", default="10x25,50x30", help="mails at once x megabytes")
    for text in parser.parse_args().rounds.split(","):
        sessions, megabytes = map(int, text.split("x"))
        with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
            Path(folder).chmod(0o755)
            before, highest = peak(sessions, megabytes, Path(folder))
        print(f"{sessions} x {megabytes} MB at once: {before:.0f} MB before, {highest:.0f} MB at the peak", flush=True)


if __name__ == "__main__":
    main()
