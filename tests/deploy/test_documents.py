"""What the documents tell a reader to type exists, by the command line's own parser, and so do the files they name."""

import re

import pytest
import yaml

from cli.main import COMMANDS, _load
from cli.system.processes import SystemSettings
from runtime.settings import _variable_names
from tests.deploy.documents import MARKDOWN, OTHERS, Code, calls_in, code_in, make_targets_in, paths_in
from tests.support.programs import DEPLOY, ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
PIECES = [piece for path in (*MARKDOWN, *OTHERS) for piece in code_in(path)]
CALLS = sorted(
    {(str(piece.document.relative_to(ROOT)), piece.whole, *call) for piece in PIECES for call in calls_in(piece)}
)


def examples():
    """The example in the help of every command, by its name."""
    for name in COMMANDS:
        loaded = _load(name)
        for word, command in getattr(loaded, "commands", {"": loaded}).items():
            text = " ".join((command.help or "").split())
            yield f"{name} {word}".strip(), re.findall(r"Example: (.*?)(?:$|(?<=\.) [A-Z])", text)


EXAMPLES = dict(examples())


def problem(call, *, whole):
    """What the command line would say of these words, or None. What is only named need not have its arguments."""
    name, *rest = call
    if name in {"--help", "--version", "--install-completion", "--show-completion"}:
        return None
    if name not in COMMANDS:
        return f"no command {name}"
    command = _load(name)
    if subcommands := getattr(command, "commands", None):
        word = rest.pop(0) if rest else None
        if word not in subcommands:
            return None if word is None and not whole else f"no subcommand {word}"
        command = subcommands[word]
    try:
        command.make_context(name, [word for word in rest if word != "…"])
    except Exception as error:  # noqa: BLE001 - typer's own are not public
        kind = type(error).__name__
        if kind in {"Exit", "NoArgsIsHelpError"} or (kind == "MissingParameter" and not whole):
            return None
        return error.format_message() if hasattr(error, "format_message") else repr(error)
    return None


@pytest.mark.parametrize(
    ("document", "whole", "call"), [(d, w, c) for d, w, *c in CALLS], ids=lambda one: str(one)[:60]
)
def test_a_command_is_taken_as_it_is_written(document, whole, call):
    assert problem(call, whole=whole) is None, document


def test_the_documents_are_read():
    """And a mistake in them would be found."""
    found = {document: sum(call[0] == document for call in CALLS) for document, *_ in CALLS}
    assert found["README.md"] > 6
    assert found["docs/commands.md"] > 20
    assert found["docs/runbook.md"] > 30
    assert found["deploy/systemd/pay402-worker.service"] == 1
    mistakes = [
        "pay402 backup --too x",
        "pay402 bakcup",
        "x && pay402 migrate sideways",
        "pay402 backfill --from-slot x",
    ]
    for mistake in mistakes:
        (call,) = calls_in(Code(RUNBOOK, mistake, whole=True))
        assert problem(call, whole=True) is not None, mistake
    (call,) = calls_in(Code(RUNBOOK, "pay402 restore", whole=True))
    assert "file" in problem(call, whole=True).lower()


def arguments_of_containers():
    """What compose and Kubernetes call, by where."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    yield from ((f"compose {name}", one["command"]) for name, one in compose.items() if "PAY402" in one["image"])
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        yield from ((path.name, yaml.safe_load(words)) for words in re.findall(r"\bargs: (\[.*\])", text))
        for script in re.findall(r'command: \[sh, -c, "(.*)"\]', text):
            yield from ((path.name, call) for call in calls_in(Code(path, script, whole=True)))


def test_a_container_calls_what_there_is():
    calls = list(arguments_of_containers())
    assert len(calls) > 12
    assert {place: said for place, call in calls if (said := problem(call, whole=True))} == {}


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_command_has_an_example_that_its_own_parser_takes(command):
    assert len(EXAMPLES[command]) == 1
    calls = list(calls_in(Code(RUNBOOK, EXAMPLES[command][0], whole=True)))
    assert calls
    assert all(problem(call, whole=True) is None for call in calls), calls
    assert " ".join(calls[0]).startswith(command)


def test_the_runbook_has_every_command_for_operators():
    named = {call[2] for call in CALLS if call[0] == "docs/runbook.md"}
    developers = {"demo", "up", "localnet", "api", "indexer", "worker", "export"}
    assert named >= set(COMMANDS) - developers


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {target for piece in PIECES for target in make_targets_in(piece)} <= targets


@pytest.mark.parametrize("path", sorted({path for piece in PIECES for path in paths_in(piece)}))
def test_every_file_exists(path):
    if path == "docs/performance.md" and not (ROOT / path).exists():
        pytest.xfail("the measurements are still being taken")
    assert (ROOT / path).exists()


def test_every_decision_has_a_number_of_its_own_that_its_heading_repeats():
    numbers = {}
    for path in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        number = int(path.name.partition("-")[0])
        assert numbers.setdefault(number, path.name) == path.name
        assert path.read_text(encoding="utf-8").startswith(f"# {number}. "), path.name
    assert len(numbers) > 20


KNOWN = {
    name for field_name, field in SystemSettings.model_fields.items() for name in _variable_names(field, field_name)
}


def test_every_setting_of_the_runbook_exists():
    named = {name for piece in code_in(RUNBOOK) for name in re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", piece.text)}
    # Outcomes of verifications are told by the API, not set.
    outcomes = (ROOT / "ledger" / "judge.py").read_text(encoding="utf-8")
    strangers = {name for name in named if name.removesuffix("_FILE") not in KNOWN and name not in outcomes}
    assert strangers <= {"VAULT_ADDR", "ON_ERROR_STOP"}


def environments():
    """What each way to deploy sets, by its file."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for name in ("migrate", "api", "indexer", "worker", "backup"):
        yield f"compose {name}", set(compose[name]["environment"])
    configuration = yaml.safe_load((DEPLOY / "kubernetes" / "configuration.yaml").read_text(encoding="utf-8"))
    for name in ("api", "indexer", "worker"):
        pods = yaml.safe_load_all((DEPLOY / "kubernetes" / f"{name}.yaml").read_text(encoding="utf-8"))
        (pod,) = [one["spec"]["template"]["spec"] for one in pods if one["kind"] in {"Deployment", "StatefulSet"}]
        own = {variable["name"] for variable in pod["containers"][0].get("env", [])}
        yield f"kubernetes {name}", set(configuration["data"]) | own
    systemd = (DEPLOY / "systemd" / "settings.example").read_text(encoding="utf-8")
    systemd += "".join(
        f"{pair}\n"
        for path in (DEPLOY / "systemd").iterdir()
        for line in re.findall(r"^Environment=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for pair in line.split()
    )
    yield "systemd", set(re.findall(r"^(\w+)=", systemd, re.MULTILINE))


@pytest.mark.parametrize(("place", "names"), list(environments()), ids=lambda one: one if isinstance(one, str) else "")
def test_what_a_deployment_sets_is_read_by_somebody(place, names):
    assert {name for name in names if name not in KNOWN and name.removesuffix("_FILE") not in KNOWN} == set(), place
    # What production refuses to be without, and what the guide wants tuned.
    wanted = {"DATABASE_URL_FILE"} if place in {"compose migrate", "compose backup"} else {
        "DATABASE_URL_FILE", "REDIS_URL_FILE", "SOLANA_RPC_URL_FILE", "SOLANA_NETWORK", "JWT_SECRET_FILE",
        "ALLOWED_ORIGINS", "LOG_LEVEL", "SETTLEMENT_WALLET",
    }  # fmt: skip
    assert wanted <= names
    if place != "systemd":
        # Only who makes webhooks, or sends to them, is given what seals their keys.
        assert ("WEBHOOK_KEY_FILE" in names) == (place.rpartition(" ")[2] in {"api", "worker"})
