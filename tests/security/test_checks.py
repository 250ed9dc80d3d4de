"""What `make check` asks of dependencies and of the repository: it would find what it is there for."""

import json
import subprocess
import sys
import tomllib

import pytest

from api.access.key_ring import make_key
from checks.advisories import ROOT, pins, strangers, verdict
from checks.leaked_secrets import findings, main, of_ours

PINNED = "aiohttp==3.13.2 \\\n    --hash=sha256:00\nPy_YAML==6.0 ; python_version > '3' \\\n    --hash=sha256:11\n"


def test_a_package_that_the_lock_does_not_pin_is_a_stranger():
    assert pins(PINNED) == {"aiohttp": {"3.13.2"}, "py-yaml": {"6.0"}}
    assert strangers(PINNED, {"aiohttp": "3.13.2", "py-yaml": "6.0"}) == []
    assert strangers(PINNED, {"aiohttp": "3.13.1", "left-pad": "1.0"}) == ["aiohttp 3.13.1", "left-pad 1.0"]


def reported(*dependencies):
    return json.dumps({"dependencies": dependencies, "fixes": []})


@pytest.mark.parametrize(
    ("code", "out", "fails", "says"),
    [
        (1, "", False, "cannot be reached"),
        (0, reported({"name": "a", "skip_reason": "not found"}), False, "knows none of our packages"),
        (0, reported({"name": "a", "version": "1", "vulns": []}), False, "none for 1 of 1"),
        (1, reported({"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}), True, "a 1: CVE-1"),
    ],
)
def test_what_is_not_known_of_dependencies_is_said_and_what_is_known_fails(code, out, fails, says):
    failed, line = verdict(code, out)
    assert (failed, says in line) == (fails, True)


def test_a_secret_of_ours_is_found_wherever_it_lies():
    key, pair = make_key("live").key, json.dumps(list(range(100, 164)))
    found = list(of_ours(f"first\nkey = '{key}'\n\nkeypair: {pair}\n"))
    assert [(kind, line) for kind, _, line in found] == [("402pay API key", 2), ("Solana keypair", 4)]
    # Not the made-up ones of the documents, and no address.
    assert list(of_ours("sk_live_" + "0" * 74 + " 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q")) == []


def test_a_secret_that_is_about_to_be_committed_is_found(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("checks.leaked_secrets.ROOT", tmp_path)
    monkeypatch.setattr("checks.leaked_secrets._tracked", lambda: ["planted.py"])
    # In two parts, for this file is scanned as well.
    (tmp_path / "planted.py").write_text(f'KEY = "{make_key("test").key}"\nAWS = "AKIA{"IOSFODNN7" + "EXAMPLF"}"\n')
    assert {"402pay API key", "AWS Access Key"} <= {kind for _, kind, _, _ in findings(["planted.py"])}
    assert main([]) == 1
    assert "planted.py:1: 402pay API key" in capsys.readouterr().out


def test_make_check_asks_all_of_it():
    recipe = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    for part in ("ruff check", "mypy", "lint-imports", "bandit", "checks.advisories", "checks.leaked_secrets"):
        assert part in recipe, part


def test_bandit_would_find_what_its_settings_leave_to_it(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import pickle, yaml\n\ndef f(x):\n    yaml.load(x)\n    return eval(pickle.loads(x))\n")
    reported = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-c", str(ROOT / "pyproject.toml"), "-f", "json", str(bad)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert {"B301", "B307", "B506"} <= {one["test_id"] for one in json.loads(reported.stdout)["results"]}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["bandit"]
    assert len(settings["skips"]) <= 6
