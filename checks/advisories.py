"""Dependencies: is what is installed what the lock pins, does it fit together, does anybody know a fault of it?

The last needs the database of advisories. Where that cannot be reached one line says so, and the rest is checked.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
_LOCK: Final = "requirements-dev.lock"
_PIN: Final = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
# What makes the environment itself, and our own package.
_UNLOCKED: Final = frozenset({"pip", "setuptools", "pay402"})
_PATIENCE_SECONDS: Final = 40.0


def pins(lock: str) -> dict[str, set[str]]:
    """Every version that the text of a lock pins, by package."""
    found: dict[str, set[str]] = {}
    for name, version in _PIN.findall(lock):
        found.setdefault(_canonical(name), set()).add(version)
    return found


def strangers(lock: str, installed: dict[str, str]) -> list[str]:
    """What is installed and not as the lock has it: nobody has compared its hash."""
    pinned = pins(lock)
    return sorted(f"{name} {version}" for name, version in installed.items() if version not in pinned.get(name, set()))


def verdict(code: int, out: str) -> tuple[bool, str]:
    """What pip-audit's exit code and its JSON mean: whether the check fails, and the line to print."""
    try:
        reported: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return False, "advisories: their database cannot be reached, so known faults were not looked for."
    asked = [one for one in reported if "skip_reason" not in one]
    if not asked:
        # It answers, and knows nobody: a mirror of packages without their advisories.
        return False, "advisories: their database knows none of our packages, so known faults were not looked for."
    faults = [f"{one['name']} {one['version']}: {v['id']}" for one in asked for v in one["vulns"]]
    if faults:
        return True, f"advisories: {', '.join(faults)}; raise these in pyproject.toml and run make lock."
    return code != 0, f"advisories: none for {len(asked)} of {len(reported)} packages."


def main() -> int:
    """Check, print a line each; 1 for anything that is wrong."""
    installed = {_canonical(one.name): one.version for one in distributions()}
    found = strangers(
        (ROOT / _LOCK).read_text(encoding="utf-8"), {k: v for k, v in installed.items() if k not in _UNLOCKED}
    )
    if found:
        print(f"lock: {', '.join(found)} is installed but not pinned; run make clean install.")
    fits = _run("pip", "check")
    print(f"pip check: {fits.stdout.strip()}")
    # The advisories of every package at once; it stops at the first call that gets no answer.
    audit = _run(
        "pip_audit", "--requirement", _LOCK, "--disable-pip", "--require-hashes", "--format=json",
        "--progress-spinner=off", "--vulnerability-service=osv", "--timeout=5",
    )  # fmt: skip
    is_faulty, line = verdict(audit.returncode, audit.stdout)
    print(line)
    return int(bool(found) or fits.returncode != 0 or is_faulty)


def _run(module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", module, *arguments]
    try:
        return subprocess.run(  # noqa: S603 - a program of ours with arguments of ours
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
