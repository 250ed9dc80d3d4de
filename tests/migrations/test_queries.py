"""Every named query: the database accepts it, something uses it, and one line says what it is for."""

import re

import pytest

from ledger.sql import load_queries
from runtime.database import open_connection
from tests.support.source_tree import ROOT, files_of_packages

FILES = [path for path in files_of_packages("*.sql") if "migrations" not in path.parts]
NAME = re.compile(r"^-- name: *(\w+)(\S*)$", re.MULTILINE)
QUERIES = [(path, name) for path in FILES for name, _ in NAME.findall(path.read_text(encoding="utf-8"))]
SOURCES = {path: path.read_text(encoding="utf-8") for path in files_of_packages("*.py")}


def loaded(path):
    return load_queries(".".join(path.parent.relative_to(ROOT).parts), path.name)


def test_there_are_queries():
    assert len(QUERIES) > 10


@pytest.mark.parametrize(("path", "name"), QUERIES, ids=lambda one: getattr(one, "stem", one))
async def test_the_database_accepts_the_query(postgres, path, name):
    statement = getattr(loaded(path), name).sql
    # Whatever is left of a parameter's name has not been replaced by its number.
    assert not re.search(r"(?<![:\w]):[a-z]\w*", re.sub(r"'[^']*'", "", statement)), statement
    # Preparing changes nothing, so the template that other tests are cloned from serves as it is.
    async with open_connection(postgres.format("template_ledger")) as connection:
        parameters = (await connection.prepare(statement)).get_parameters()
    numbers = {int(number) for number in re.findall(r"\$(\d+)", statement)}
    assert len(parameters) == max(numbers, default=0) == len(numbers)


@pytest.mark.parametrize(("path", "name"), QUERIES, ids=lambda one: getattr(one, "stem", one))
def test_the_query_is_used(path, name):
    """By its name, in a module that loads its file."""
    users = [text for text in SOURCES.values() if f'"{path.name}"' in text]
    assert users, f"nothing loads {path.name}"
    used = re.compile(rf"\.{name}(_cursor)?(\(|\.sql\b)")
    assert any(used.search(text) for text in SOURCES.values()), f"nothing runs {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_of_a_file_has_a_line_on_what_it_is_for(path):
    text = path.read_text(encoding="utf-8")
    head, *pieces = NAME.split(text)
    assert head.strip() == ""
    for name, _, body in zip(pieces[0::3], pieces[1::3], pieces[2::3], strict=True):
        first = body.strip().splitlines()[0]
        assert re.fullmatch(r"-- [A-Z].{10,}", first), f"{name} in {path.name} is not described"
        # One statement a query: what follows its end would be sent along and never seen.
        assert re.sub(r"--.*", "", body).strip().rstrip(";").count(";") == 0, f"{name} is several statements"


def test_no_two_queries_share_a_name():
    names = [name for _, name in QUERIES]
    assert sorted(set(names)) == sorted(names)
