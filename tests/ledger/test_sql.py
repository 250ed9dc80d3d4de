"""Named queries from files, run through the real driver."""

import sys

import pytest

from ledger.sql import load_queries

QUERIES = """
-- name: largest^
-- The largest of many amounts.
SELECT max(amount) AS amount, count(*) AS rows FROM unnest(:amounts::numeric[]) AS a (amount);

-- name: counted$
-- How many rows a text names; the colons of the cast are no parameter.
SELECT count(*) FROM unnest(string_to_array(:names::text, ',')) AS n;

-- name: remember!
-- Write an event.
INSERT INTO events (type, subject, data) VALUES ('test', :subject, :data);
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of SQL files; returns how to add one."""
    (tmp_path / "queries_of_test").mkdir()
    (tmp_path / "queries_of_test" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name, text: (tmp_path / "queries_of_test" / name).write_text(text)
    sys.modules.pop("queries_of_test", None)


async def test_queries_take_and_give_exact_amounts(package, pool):
    package("a.sql", QUERIES)
    queries = load_queries("queries_of_test", "a.sql")
    async with pool.acquire() as connection:
        row = await queries.largest(connection, amounts=[1, 2**64 - 1])
        assert dict(row) == {"amount": 2**64 - 1, "rows": 2}
        assert await queries.counted(connection, names="a,b,c") == 3
        await queries.remember(connection, subject="me", data={"amount": 2**64 - 1})
        assert await connection.fetchval("SELECT data FROM events WHERE subject = 'me'") == {"amount": 2**64 - 1}


def test_several_files_are_one_set_of_queries(package):
    package("a.sql", QUERIES)
    package("b.sql", "-- name: one$\n-- One.\nSELECT 1;\n")
    queries = load_queries("queries_of_test", "a.sql", "b.sql")
    assert {"largest", "counted", "remember", "one"} <= set(queries.available_queries)


def test_a_query_without_a_description_is_refused(package):
    package("a.sql", "-- name: bare$\nSELECT 1;\n")
    with pytest.raises(ValueError, match="the query bare in queries_of_test has no line"):
        load_queries("queries_of_test", "a.sql")
