"""The certificates that our doors show: read from PEM files, and told of before they run out."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from gatepost.events import Clock, Metrics, keep, log

DAY = 86_400  # seconds
SOON = 14 * DAY  # what a certificate has left when it is warned of


def load_certificate(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Have a server show the chain of a PEM file; without `key` that file holds the key, too. Raises OSError.

    An encrypted key raises it as well, where OpenSSL would stop everything to ask for its passphrase at the terminal.
    """
    for file in filter(None, (certificate, key)):
        Path(file).open("rb").close()  # its error names the file, that of OpenSSL does not
    try:
        context.load_cert_chain(certificate, key or None, password=_passphrase)
    except ssl.SSLError as error:
        if "PEM lib" not in str(error):
            raise
        what = f"no certificate there, or no private key in {key or 'that file'}, that can be read"
        raise OSError(what) from error


def _passphrase() -> str:
    raise OSError("its key is encrypted; only a key without passphrase can be read")


def tell_end(certificate: str, metrics: Metrics, clock: Clock) -> None:
    """Show when a certificate that was just read runs out, and warn of one that does so soon.

    One that is shown all the same but not understood here, as OpenSSL's TRUSTED CERTIFICATE, fails nobody.
    """
    try:
        shown = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
    except (OSError, ValueError) as error:
        log.warning("certificate of unknown end", file=certificate, why=str(error))
        with suppress(KeyError):
            metrics.certificates.remove(certificate)  # the end of the one before
        return
    end = shown.not_valid_after_utc.timestamp()
    metrics.certificates.labels(certificate).set(end)
    _warn(certificate, end, clock)


def _warn(certificate: str, end: float, clock: Clock) -> None:
    if end - clock() / 1000 < SOON:
        log.warning("certificate runs out", file=certificate, at=datetime.fromtimestamp(end, UTC).isoformat())


class Ends:
    """Warns of certificates in use once a day: what fails to renew them sends no SIGHUP."""

    def __init__(self, metrics: Metrics, clock: Clock, *, period: float = DAY) -> None:
        self._metrics = metrics
        self._clock = clock
        self._period = period
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = keep(self._forever, "certificates")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            for figure in self._metrics.certificates.collect():
                for each in figure.samples:
                    _warn(each.labels["file"], each.value, self._clock)
