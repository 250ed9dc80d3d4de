"""Homes of embedded servers."""

import subprocess

import pytest

from pay402.runtime.embedded_postgres import EmbeddedPostgres
from tests.conftest import short_lived_home


@pytest.fixture(scope="session")
def made_once():
    """A home with a database that was made and stopped, to be copied."""
    with short_lived_home() as directory:
        server = EmbeddedPostgres(directory)
        server.enter()
        server.leave()
        yield directory


@pytest.fixture
def made_home(home, made_once):
    """A home of this test alone whose data exist already: making them takes longer than most tests."""

    subprocess.run(["cp", "-a", made_once / "postgres", home], check=True)  # keeps the owners
    return home
