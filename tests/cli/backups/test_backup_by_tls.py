"""Backups of a database that takes connections by TLS only, with the programs that come with us, which know no TLS."""

import json
import subprocess

import pytest

from cli.backups.postgres_client import run
from migrations import upgrade
from runtime.database import open_connection
from runtime.embedded.postgres import postgres_binaries
from runtime.errors import OperatorError
from tests.support.command_line import pay402
from tests.support.databases import execute
from tests.support.tls_postgres import HOST, needs_tls_postgres, tls_postgres

pytestmark = needs_tls_postgres


@pytest.fixture(scope="module")
def server():
    with tls_postgres() as found:
        yield found


def test_our_own_programs_know_no_tls():
    done = subprocess.run(
        [postgres_binaries() / "pg_dump", f"host={HOST} sslmode=require"], check=False, capture_output=True, text=True
    )
    assert "SSL support is not compiled in" in done.stderr


@pytest.mark.parametrize("checks", ["sslmode=require", "sslmode=verify-full&sslrootcert={certificate}"])
async def test_a_backup_is_made_verified_and_restored_by_tls(server, checks, home):
    postgres, certificate = server
    name = f"tls_{'full' if 'full' in checks else 'plain'}"
    await execute(postgres.dsn("postgres"), f"CREATE DATABASE {name}")
    parameters = checks.format(certificate=certificate)
    address = f"postgresql://postgres@{HOST}:5432/{name}?{parameters}"
    await upgrade(address)
    async with open_connection(address) as connection:
        await connection.execute("INSERT INTO heartbeats (role, instance) VALUES ('indexer', 'one')")
    done = await pay402("backup", "--to", str(home / "kept"), "--verify", "--json", home=home, DATABASE_URL=address)
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert made["verified"]
    await execute(postgres.dsn("postgres"), f"CREATE DATABASE {name}_again")
    target = address.replace(f"/{name}?", f"/{name}_again?")
    done = await pay402("restore", made["file"], home=home, DATABASE_URL=target)
    assert done.code == 0, done.err
    async with open_connection(target) as connection:
        assert await connection.fetchval("SELECT instance FROM heartbeats") == "one"


async def test_a_server_with_another_certificate_is_not_backed_up(server, tmp_path):
    other = tmp_path / "other.crt"
    subject = ("-subj", "/CN=other", "-keyout", tmp_path / "other.key", "-out", other)
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", *subject], check=True, capture_output=True
    )
    address = f"postgresql://postgres@{HOST}:5432/postgres?sslmode=verify-full&sslrootcert={other}"
    with pytest.raises(OperatorError, match="pg_dump failed"):
        await run(postgres_binaries() / "pg_dump", f"--file={tmp_path / 'x.sql'}", dsn=address)


async def test_a_certificate_that_is_not_there_is_a_sentence(tmp_path):
    address = f"postgresql://postgres@{HOST}:5432/postgres?sslmode=verify-full&sslrootcert=/nowhere/root.crt"
    with pytest.raises(OperatorError, match="A certificate that DATABASE_URL names cannot be read"):
        await run(postgres_binaries() / "pg_dump", f"--file={tmp_path / 'x.sql'}", dsn=address)
