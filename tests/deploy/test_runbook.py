"""The runbook's commands exist, with the options that it names, and so do the files that it sends a reader to."""

import re

import pytest

from pay402.ops.main import COMMANDS, _load
from tests.deploy.programs import ROOT

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")


def pieces():
    """Everything set as code: indented, or between backticks; what stands after a # explains."""
    indented = re.findall(r"^ {4}(.*)$", RUNBOOK, re.MULTILINE)
    inline = [" ".join(piece.split()) for piece in re.findall(r"`([^`]+)`", RUNBOOK)]
    return [line.partition(" #")[0] for line in (*indented, *inline)]


CALLS = sorted(
    {call for piece in pieces() for call in re.findall(r"(?<!exec api )(?<![-=/])\bpay402 ([a-z]+)\b([^|;&]*)", piece)}
)


@pytest.mark.parametrize(("name", "rest"), CALLS, ids=lambda one: one.strip())
def test_a_command_exists_with_its_options(name, rest):
    assert name in COMMANDS
    command = _load(name)
    if subcommands := getattr(command, "commands", None):
        word = rest.split()[0]
        assert word in subcommands
        command = subcommands[word]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert set(re.findall(r"--[a-z-]+", rest)) <= options


def test_every_command_for_operators_is_in_it():
    named = {name for name, _ in CALLS}
    assert named >= {"doctor", "audit", "backfill", "backup", "restore", "migrate", "keys", "recipients", "decode"}


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {target for piece in pieces() for target in re.findall(r"\bmake ([a-z][a-z-]*)", piece)} <= targets


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`?\b((?:deploy|docs|tests)/[\w./-]*\w)", RUNBOOK))))
def test_every_file_exists(path):
    assert (ROOT / path).exists()


def test_every_setting_exists():
    settings = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", " ".join(pieces())))
    known = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", (ROOT / "README.md").read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pay402").rglob("settings.py"))
    strangers = {
        name
        for name in settings
        if name not in known and name.removesuffix("_FILE") not in known and f'"{name}"' not in sources
    }
    # Outcomes of verifications are told by the API, not set.
    outcomes = (ROOT / "pay402" / "ledger" / "judge.py").read_text(encoding="utf-8")
    assert {name for name in strangers if name not in outcomes} <= {"VAULT_ADDR", "POST_API"}
