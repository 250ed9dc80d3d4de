"""An empty Postgres server beside the one that all tests share."""

import pytest

from runtime.embedded.postgres import EmbeddedPostgres
from tests.support.databases import short_lived_home


@pytest.fixture
def another_server():
    """An empty Postgres server of this test alone."""
    with short_lived_home() as directory:
        server = EmbeddedPostgres(directory, options={"fsync": "off"})
        server.enter()
        try:
            yield server
        finally:
            server.leave()
