"""Makes a Postfix of the tests a relay for who signs in alone: Cyrus SASL with accounts of its own, and STARTTLS."""

import shutil
import subprocess

import trustme
from tests.pace import PATIENCE
from tests.peers.postfix import Postfix

REALM = "relay.example"

MAIN = """\
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = {realm}
smtpd_sasl_authenticated_header = yes
cyrus_sasl_config_path = {config}
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {chain}
"""

SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {accounts}
mech_list: {mechanisms}
"""


def locked(postfix: Postfix, ca: trustme.CA, login: tuple[str, str], mechanisms: str = "PLAIN LOGIN") -> Postfix:
    """Let a Postfix that has not started take mail only from who shows `login` by one of the mechanisms, over TLS."""
    config = postfix.config / "sasl"
    config.mkdir()
    accounts, chain = config / "sasldb2", config / "chain.pem"
    name, password = login
    subprocess.run(
        ["saslpasswd2", "-p", "-c", "-f", accounts, "-u", REALM, name],
        input=password,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    shutil.chown(accounts, "postfix", "postfix")
    (config / "smtpd.conf").write_text(SASL.format(accounts=accounts, mechanisms=mechanisms))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(chain))
    with (postfix.config / "main.cf").open("a") as main:
        main.write(MAIN.format(realm=REALM, config=config, chain=chain))
    return postfix
