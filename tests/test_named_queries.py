"""The check of named queries finds what it is for, in a package made for the test."""

import pytest

from checks import named_queries
from checks.named_queries import faults, main, read_module

SQL = """-- name: find_one^
-- One row.
SELECT :signature::text, :slot::bigint, ':no_parameter' AS t;

-- name: find_all
-- Rows.
SELECT :slot::bigint;
"""
GOOD = """from ledger.sql import load_queries

_queries = load_queries("queries_of_check", "a.sql")


async def look(database):
    await _queries.find_one(database, signature="s", slot=1)
    async with _queries.find_all_cursor(database, slot=1):
        return [row async for row in _queries.find_all(database, slot=2)]
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    made = tmp_path / "queries_of_check"
    made.mkdir()
    (made / "__init__.py").write_text("")
    (made / "a.sql").write_text(SQL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(named_queries, "ROOT", tmp_path)
    return made


def found(package, text):
    path = package / "rows.py"
    path.write_text(text)
    return list(faults(read_module(path)))


def test_what_the_sql_says_is_right(package):
    assert found(package, GOOD) == []


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("find_one(", "find_on(", "no query find_on"),
        ("find_all_cursor(", "find_al_cursor(", "no query find_al;"),
        (", slot=1)\n    async", ")\n    async", "other parameters than its SQL has: slot"),
        ("slot=2", "slot=2, limit=3", "other parameters than its SQL has: limit"),
        ("slot=2", "slots=2", "other parameters than its SQL has: slot, slots"),
    ],
)
def test_a_wrong_name_or_parameter_is_found(package, was, becomes, says):
    assert was in GOOD
    (fault,) = found(package, GOOD.replace(was, becomes))
    assert says in fault
    assert fault.startswith("queries_of_check/rows.py:")


def test_a_query_that_nothing_uses_is_found(package, monkeypatch, capsys):
    (package / "rows.py").write_text(
        GOOD.replace('find_one(database, signature="s", slot=1)', "find_all(database, slot=1)")
    )
    monkeypatch.setattr(named_queries, "our_packages", lambda: ["queries_of_check"])
    assert main() == 1
    assert "nothing uses the query find_one" in capsys.readouterr().out


def test_ours_are_called_as_their_sql_says(capsys):
    assert main() == 0, capsys.readouterr().out
