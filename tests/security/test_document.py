"""docs/security.md: every test it names exists, every threat has one, and the document can be found."""

import ast
import re

import pytest

from tests.support.programs import ROOT

DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ATTACKERS = ("A payer", "A merchant", "A stranger", "An RPC provider", "A thief of a dump, a log or a login")
MISTAKES = "An operator's mistake"


def names_of_tests():
    """The names of all tests."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield node.name


EXISTING = set(names_of_tests())
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
ROWS = [
    (section, *re.split(r" \| ", row.strip("| ")))
    for section, text in SECTIONS.items()
    for row in re.findall(r"^\|.+\|$", text, re.MULTILINE)[2:]
]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", DOCUMENT))))
def test_a_test_that_the_document_names_exists(name):
    assert name in EXISTING


def test_every_attacker_has_threats_and_every_threat_an_answer_and_a_proof():
    assert {section for section, *_ in ROWS} == {*ATTACKERS, MISTAKES}
    for section, *cells in ROWS:
        assert len(cells) == 3, (section, cells)
        wants, answer, proof = cells
        assert wants
        assert answer
        assert re.fullmatch(r"`test_\w+`(, `test_\w+`)*", proof), (section, wants)


def test_every_adversarial_test_is_of_use_in_the_document():
    """A file of attacks that the document does not mention at all has been forgotten."""
    for path in (ROOT / "tests" / "security").glob("test_*.py"):
        if path.name == "test_document.py":
            continue
        names = set(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))
        assert names & set(re.findall(r"`(test_\w+)`", DOCUMENT)), path.name


def test_other_files_that_the_document_names_exist():
    for path in re.findall(r"`((?:tests|docs|pay402|deploy)/[\w./-]+)`", DOCUMENT):
        assert (ROOT / path).exists(), path


def test_it_can_be_read_in_one_sitting_and_found_from_the_readme():
    assert len(DOCUMENT.splitlines()) < 120
    assert "`docs/security.md`" in (ROOT / "README.md").read_text(encoding="utf-8")
