"""One word, one meaning: names that say nothing to a newcomer are retired, and none comes back."""

import re
import tokenize

import pytest

from tests.support.source_tree import ROOT, files_of_packages

# A pattern for a whole identifier, or for a file's name, in capitals or not, and what is said instead.
RETIRED_NAMES = {
    r"(?:\w*_)?desks?(?:_\w+)?|\w*(?-i:Desk)\w*": "what is gathered there: verification batches, index requests",
    # The keyword and our function that sends one are something else.
    r"\w*(?-i:Case|Question)": "submitted proof",
    r"(?-i:Answer)": "verify result, or the name of the body",
    r"\w*workbench\w*|bench": "context",
    r"\w*vitals\w*": "gauges",
    r"(?:\w*_)?pulses?(?:_\w+)?|\w*(?-i:Pulse)\w*": "sign of life",
    r"by_hand": "offline signing",
    r"(?:\w*_)?edges?(?:_\w+)?|\w*(?-i:Edge)\w*": "middleware, by what it does",
    r"(?:\w*_)?figures?(?:_\w*)?|\w*(?-i:Figure)s?": "amounts, counts, totals",
    r"(?:\w*_)?takings(?:_\w+)?|\w*(?-i:Takings)\w*": "revenue",
    r"(?:\w*_)?arrivals(?:_\w+)?|\w*(?-i:Arrivals)\w*": "notifications",
    r"tills?": "vendor",
    r"clerks?": "how many batches are under way",
    r"\w*(?:tell|told)\w*": "log, answer, print or show: what is done",
    r"_?most(?:_\w+)?": "a bound ends in _max",
}
# Patterns for a line of code, SQL or prose.
RETIRED_PHRASES = {
    r"\bparts\.(?:settings|metrics|database|queries|tokens|keys|node)\b": "name what a handler asks for",
    r"\bqueries: Any\b": "a statement has one typed owner",
    r"\brow: Any\b": "a statement's owner returns types",
    r"\brequest\.state\b": "rooms hand each other values, not notes on the request",
    r"\b(?:[Ww]orkbench|[Tt]akings|[Vv]itals|[Pp]ulse|[Dd]esk|HTTP edge)\b": "what is done there, in plain words",
    r"\bfor nobody\b": "say what happens",
    r"\bsettle_jobs\b|\b[Ss]ettl(?:es?|ing) jobs\b": "jobs are moved on, payouts are sent",
    r"\b_?MAX_[A-Z_]+\b|\b[A-Z_]+_MOST(?:_[A-Z_]+)?\b": "a bound ends in _MAX",
    r"\btold_at\b|\btold AS \(|\btell_\w+[!$^]?$": "the name of what is stored",
}

PROSE = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "api" / "console" / "templates").glob("*.html")),
]
# A revision is never edited once it is applied somewhere.
SQL = [path for path in files_of_packages("*.sql") if "versions" not in path.parts and path.name != "schema.sql"]
PYTHON = [path for path in files_of_packages("*.py") if "versions" not in path.parts]
BESIDE = [
    path
    for room in ("bench", "checks", "examples", "tests")
    for path in sorted((ROOT / room).rglob("*.py"))
    # One that looks for a phrase spells it.
    if path.name not in {"test_vocabulary.py", "test_rooms.py"}
]
# Counter's method, a folder that has the name of what it does, and what is drawn.
NAMES_OF_OTHERS = {"most_common", "bench", "figure"}
# Of the library that prints tables.
ALLOWED = {"pad_edge"}


def names_in(path):
    """Every identifier of a Python file, and the file's own name."""
    with tokenize.open(path) as file:
        tokens = [token.string for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.NAME]
    # Tests are named by sentences.
    return {name for name in (path.stem, *tokens) if not name.startswith("test_")} - ALLOWED


def places(paths):
    return sorted({str(path.relative_to(ROOT)) for path in paths})


@pytest.mark.parametrize("pattern", RETIRED_NAMES)
def test_no_retired_name_is_used(pattern):
    wanted = re.compile(pattern, re.IGNORECASE)
    names = {path: names_in(path) for path in PYTHON} | {path: names_in(path) - NAMES_OF_OTHERS for path in BESIDE}
    found = places(path for path in names if any(wanted.fullmatch(name) for name in names[path]))
    assert found == [], f"say {RETIRED_NAMES[pattern]}"


@pytest.mark.parametrize("pattern", RETIRED_PHRASES)
def test_no_retired_phrase_is_used(pattern):
    wanted = re.compile(pattern, re.MULTILINE)
    everything = [*PYTHON, *BESIDE, *SQL, *PROSE]
    found = places(path for path in everything if wanted.search(path.read_text(encoding="utf-8")))
    assert found == [], RETIRED_PHRASES[pattern]
