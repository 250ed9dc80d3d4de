"""Homes of embedded servers."""

import pytest

from runtime.embedded.postgres import EmbeddedPostgres
from tests.support.databases import short_lived_home


@pytest.fixture(scope="session")
def made_home():
    """A home whose data exist already and that no server uses: making them takes longer than most tests.

    Tests take turns with it, so what they write there has names of its own.
    """
    with short_lived_home() as directory:
        server = EmbeddedPostgres(directory)
        server.enter()
        server.leave()
        yield directory
