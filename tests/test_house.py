"""The rules of the house, as tests: what keeps the tree readable and the promises of its documents true."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import typer

from cli.main import COMMANDS, _load
from cli.system.processes import SystemSettings
from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from runtime.settings import _variable_names
from tests.support.source_tree import PACKAGES, ROOT, files_of_packages

SOURCES = files_of_packages("*.py")
GENERATED = {ROOT / "migrations" / "schema.sql"}
SQL = sorted(set(files_of_packages("*.sql")) - GENERATED)
README = ROOT / "README.md"
COMMANDS_DOCUMENT = ROOT / "docs" / "commands.md"
CONFIGURATION_DOCUMENT = ROOT / "docs" / "configuration.md"

LINES_MAX = 400
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "tools", "stuff"}
MONEY = re.compile(r"amount|lamports|balance", re.IGNORECASE)


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def relative(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_there_is_something_to_check():
    assert len(SOURCES) > 50
    assert len(SQL) > 4
    assert len(tracked_files()) > 100


def test_every_name_of_a_file_says_what_is_in_it():
    files = [*files_of_packages("*"), *(ROOT / "tests").rglob("*"), *(ROOT / "bench").rglob("*")]
    assert relative(file for file in files if file.stem.lower() in NAMES_THAT_SAY_NOTHING) == []


def test_tests_mirror_the_rooms():
    # Revisions are no room: tests/migrations takes the schema up and down as a whole.
    revisions = {Path("migrations", "versions")}
    rooms = {path.parent.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).glob("*/__init__.py")}
    found = (ROOT / "tests").glob("*/*/__init__.py")
    mirrored = {path.parent.relative_to(ROOT / "tests") for path in found if path.parents[1].name in PACKAGES}
    assert mirrored == rooms - revisions


def test_whatever_draws_its_seed_from_the_clock_prints_how_to_replay_it():
    of_the_clock = re.compile(r"seed\w*\W.*\btime\.time\(\)")
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    drawn = [path for path, text in texts.items() if of_the_clock.search(text)]
    assert len(drawn) > 2
    by_another = {ROOT / "tests" / "scenarios" / "test_chaos.py": ROOT / "tests" / "scenarios" / "chaos.py"}
    assert relative(path for path in drawn if "replay: " not in texts[by_another.get(path, path)]) == []


def test_websockets_is_the_one_websocket_library():
    others = re.compile(r"\bws_connect\b|\bWebSocketResponse\b|\bWSMsgType\b|^\s*(?:import|from) wsproto", re.MULTILINE)
    here = ROOT / "tests" / "test_house.py"
    python = [path for path in tracked_files() if path.suffix == ".py" and path != here]
    assert relative(path for path in python if others.search(path.read_text(encoding="utf-8"))) == []


def test_every_file_can_be_read_in_one_sitting():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*SOURCES, *SQL]}
    assert relative(path for path, count in lines.items() if count > LINES_MAX) == []


def test_every_package_says_what_it_is():
    directories = {path.parent for path in SOURCES}
    packages = {directory / "__init__.py" for directory in directories}
    assert relative(one for one in packages if not one.is_file()) == []
    assert relative(one for one in packages if not ast.get_docstring(ast.parse(one.read_text(encoding="utf-8")))) == []


def code_in(document):
    """Every piece of a document that is set as code: indented, fenced or between backticks."""
    text = document.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(.*)$", text, re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    # What stands after a # explains.
    return [line.partition(" #")[0] for piece in (*fenced, *indented, *inline) for line in piece.splitlines()]


def make_targets():
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def make_targets_named_in(document):
    return {target for line in code_in(document) for target in re.findall(r"\bmake ([a-z][a-z-]*)", line)}


def test_every_make_target_that_the_readme_names_exists():
    named = make_targets_named_in(README)
    assert {"demo", "test"} <= named
    assert named <= make_targets()


def test_the_document_of_commands_names_every_make_target():
    assert make_targets_named_in(COMMANDS_DOCUMENT) == make_targets()


def test_every_make_target_is_phony_and_described():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) == make_targets()
    described = re.findall(r"^([a-z][a-z-]*):[^#\n]*## .+$", makefile, re.MULTILINE)
    assert set(described) == make_targets()


@pytest.mark.parametrize("document", [README, COMMANDS_DOCUMENT], ids=lambda path: path.name)
def test_every_command_and_option_that_is_documented_exists(document):
    calls = [(line, *call) for line in code_in(document) for call in re.findall(r"\bpay402 ([a-z]+)\b([^|;&)]*)", line)]
    assert calls
    for line, name, rest in calls:
        assert name in COMMANDS, line
        command = _load(name)
        subcommands = getattr(command, "commands", None)
        if subcommands and not (command.invoke_without_command and not rest.strip()):
            second = rest.split()[0] if rest.split() else ""
            assert second in subcommands, line
            command = subcommands[second]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, line


def test_the_document_of_commands_names_every_command():
    named = {name for line in code_in(COMMANDS_DOCUMENT) for name in re.findall(r"\bpay402 ([a-z]+)\b", line)}
    assert named >= set(COMMANDS)


def test_every_command_is_a_module_with_one_entry():
    for name in COMMANDS:
        command = _load(name)
        assert isinstance(command, typer.core.TyperCommand | typer.core.TyperGroup)
        assert command.name == name


def test_every_variable_that_is_documented_is_read_and_every_variable_read_is_documented():
    table = CONFIGURATION_DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z].*?) \|", table, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}
    fields = SystemSettings.model_fields
    read = {names[0] for name, field in fields.items() if (names := _variable_names(field, name))}
    assert documented
    # The bounds of each process are described where they are defined.
    assert documented == {name for name in read if not name.startswith(("INDEXER_", "API_", "WORKER_"))}


def names_in(node):
    """Every name, attribute and key that an expression mentions."""
    for part in ast.walk(node):
        match part:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.Subscript(slice=ast.Constant(value=str(name))):
                yield name


def money_in_float(tree):
    """The lines that put money into a binary float: `float(amount)`, `amount / x`, `round(amount...)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="float"), args=arguments):
                suspects = arguments
            case ast.BinOp(op=ast.Div(), left=left, right=right):
                suspects = [left, right]
            case ast.AugAssign(op=ast.Div(), target=target):
                suspects = [target]
            case _:
                continue
        if any(MONEY.search(name) for suspect in suspects for name in names_in(suspect)):
            yield node.lineno


@pytest.mark.parametrize(
    ("code", "guilty"),
    [
        ("float(amount)", True),
        ("float(row['amount'])", True),
        ("x = float(self.pre_balance) * 2", True),
        ("fee_lamports / 2", True),
        ("amount /= 10", True),
        ("amount // 10**decimals", False),
        ("float(seconds)", False),
    ],
)
def test_money_in_float_would_be_found(code, guilty):
    assert bool(list(money_in_float(ast.parse(code)))) == guilty


def test_no_money_is_held_in_float():
    # A node's `uiAmount` is a float by its protocol; nothing of ours reads it.
    exempt = {ROOT / "localnet" / "encoding.py"}
    found = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if path not in exempt and (lines := list(money_in_float(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


def plainly(text):
    """SQL without the schema before a name and without quotes around it."""
    return re.sub(r'\bpublic\.|\\?"(?:public\\?"\.\\?")?(?=\w)|(?<=\w)\\?"', "", text)


def statements(path):
    """The SQL of a file without comments, in single spaces."""
    return " ".join(re.sub(r"--.*", "", plainly(path.read_text(encoding="utf-8"))).split())


def writers(table, text):
    verbs = "INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|TRUNCATE(?: TABLE)?|COPY"
    return re.findall(rf"\b({verbs})\s+(?:ONLY\s+)?{table}\b", plainly(text), re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE transactions SET status = 'failed'",
        "update only public.transactions as c set status = 'failed'",
        'UPDATE "transactions" SET status',
        'UPDATE "public"."transactions" SET status',
        "MERGE INTO transactions AS t USING wanted AS w",
        "DELETE FROM public.transactions",
        "TRUNCATE TABLE transactions",
    ],
)
def test_whatever_writes_a_table_would_be_found(text):
    assert len(writers("transactions", text)) == 1
    assert writers("transactions", text.replace("transactions", "vanished_transactions")) == []


@pytest.mark.parametrize("table", ["transfers", "balance_changes"])
def test_rows_of_the_ledger_are_written_in_one_place_and_never_deleted(table):
    queries = [path for path in SQL if "migrations" not in path.parts]
    written = {str(path.relative_to(ROOT)): writers(table, statements(path)) for path in queries}
    verbs = {path: {verb.upper() for verb in found} for path, found in written.items() if found}
    assert [path for path, found in verbs.items() if "INSERT INTO" in found] == ["indexer/record.sql"]
    # Elsewhere only how sure they are moves on, in one place too.
    assert [path for path in verbs if path != "indexer/record.sql"] in (["ledger/finality.sql"], [])
    assert all(found <= {"INSERT INTO", "UPDATE"} for found in verbs.values())
    for path in (ROOT / path for path in verbs if path != "indexer/record.sql"):
        for columns in re.findall(rf"UPDATE {table}\b.*? SET (.*?) (?:FROM|WHERE)\b", statements(path)):
            assert re.fullmatch(r"finality = '\w+'|(awaits_witness_since|contested_at) = .*", columns), columns


CLAIMS = "ledger/claims/"


def test_a_claim_comes_to_be_and_moves_in_one_place():
    queries = {str(path.relative_to(ROOT)): statements(path) for path in SQL if "migrations" not in path.parts}
    written = {path: {verb.upper() for verb in writers("transactions", text)} for path, text in queries.items()}
    made = {path for path, verbs in written.items() if "INSERT INTO" in verbs}
    assert made
    assert {path for path in made if not path.startswith(CLAIMS)} == set()
    assert set().union(*written.values()) == {"INSERT INTO", "UPDATE"}
    for path in (path for path in queries if not path.startswith(CLAIMS)):
        # Elsewhere only what was noted about a claim changes, never where it stands or what it took.
        for columns in re.findall(r"UPDATE transactions\b.*? SET (.*?) (?:FROM|WHERE)\b", queries[path]):
            assert re.fullmatch(r"missing_at_height = \S+", columns), f"{path}: {columns}"


def test_no_python_moves_a_claim_itself():
    assert relative(path for path in SOURCES if writers("transactions", path.read_text(encoding="utf-8"))) == []


def test_no_python_writes_the_ledger_itself():
    # The demo's ledger of its own starts empty each time.
    exempt = {ROOT / "cli" / "commands" / "demo.py"}
    assert (
        relative(
            path
            for path in SOURCES
            if path not in exempt
            and any(writers(table, path.read_text(encoding="utf-8")) for table in ("transfers", "balance_changes"))
        )
        == []
    )


def test_the_mints_of_sol_and_of_a_localnet_are_written_in_one_place():
    spelled = re.compile(rf"{WRAPPED_SOL_MINT}|\"{NATIVE_SOL}\"|\"devnet\" if \w")
    assert relative(path for path in SOURCES if spelled.search(path.read_text(encoding="utf-8"))) == [
        "ledger/tokens.py"
    ]


# Spelled so that this file does not contain them.
PLACES = [
    "/" + "work/",
    "/" + "root/",
    "/" + "Users/",
    "/" + "home/[a-z]+/",
    "/" + "opt/wheels",
    "py" + r"pi\.org",
    "python" + "hosted",
    "--(extra-)?" + "index-url",
    "--find" + "-links",
    "registry" + r"\.npm",
    "deb" + r"ian\.org",
    r"proxy\." + "golang",
]


def test_what_statements_run_on_and_answer_has_a_type():
    untyped = re.compile(
        # A parameter, an alias, and what a connection or its rows come out of.
        r"\b\w*(database|connection|pool|queries|rows?|writer): (?:list\[)*Any\b"
        r"|^(?:type )?\w+(?:: TypeAlias)? = (?:typing\.)?Any$|: TypeAlias = Any\b|\bTypeAliasType\([^)]*\bAny\)"
        r"|\bAsync(?:Iterator|Generator|Iterable)\[Any\b|\bCallable\[\[Any, Sequence",
        re.MULTILINE,
    )
    guilty = [
        "async def _decide(self, connection: Any) -> None:",
        "self._connection: Any = None",
        "Database = Any",
        "Database: TypeAlias = Any",
        "type Database = Any",
        "async def _snapshot() -> AsyncIterator[Any]:",
    ]
    assert [line for line in guilty if not untyped.search(line)] == []
    assert [str(path.relative_to(ROOT)) for path in SOURCES if untyped.search(path.read_text(encoding="utf-8"))] == []


def test_no_tracked_file_names_a_machine_or_a_registry():
    places = re.compile("|".join(PLACES))
    found = {}
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if lines := [line for line in text.splitlines() if places.search(line)]:
            found[str(path.relative_to(ROOT))] = lines[:3]
    assert found == {}


def test_every_ignored_rule_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ignored = text.partition("\nignore = [\n")[2].partition("\n]")[0].splitlines()
    assert ignored
    assert [line for line in ignored if "#" not in line] == []
    suppressions = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"#\s*noqa(?!: [A-Z]+[0-9]+)", line) or re.search(r"#\s*type:\s*ignore(?!\[)", line)
    ]
    assert suppressions == []
