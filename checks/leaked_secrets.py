"""Secrets in tracked files: what detect-secrets finds, and the forms that our own secrets have.

    python -m checks.leaked_secrets            # fails on what is not known
    python -m checks.leaked_secrets --allow    # what is there now is no secret

What is known to be none is in `known_values.json`, as hashes, so that a value in another place is found again.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings, get_settings

ROOT: Final = Path(__file__).parent.parent
KNOWN: Final = Path(__file__).parent / "known_values.json"

# Hashes of packages, a schema of somebody else, and what this program writes itself.
_NOT_READ: Final = frozenset(
    {
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-parquet.lock",
        "requirements-clients.lock",
        "tests/deploy/compose-spec.json",
        "checks/known_values.json",
    }
)
# Tests are full of made-up passwords. Of them only forms are asked that nobody makes up by hand.
_OF_GUESSES: Final = frozenset(
    {"Base64 High Entropy String", "Hex High Entropy String", "Secret Keyword", "Basic Auth Credentials"}
)
_ADDRESS: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
# Manifests name secrets on every page, and hold none.
_MANIFESTS: Final = "deploy/kubernetes/"
# Asks the service that a secret is for whether it is good. What may be one must not leave this machine.
_ASKS_ABROAD: Final = "detect_secrets.filters.common.is_ignored_due_to_verification_policies"
_OURS: Final = {
    "402pay API key": re.compile(r"\bsk_(?:live|test)_(?!0{20})[0-9a-f]{74}\b"),
    "Solana keypair": re.compile(r"\[\s*(?:\d{1,3}\s*,\s*){63}\d{1,3}\s*\]"),
}
Leak = tuple[str, str, str, int]
"""The file, the kind, a hash of the value, the line."""


def of_ours(text: str) -> Iterator[tuple[str, str, int]]:
    """Secrets of our own forms in `text`: the kind, a hash of the value, the line."""
    for kind, form in _OURS.items():
        for found in form.finditer(text):
            yield kind, _hash(found[0]), text.count("\n", 0, found.start()) + 1


def findings(files: list[str]) -> Iterator[Leak]:
    """What looks like a secret in `files`, named from the root of the repository."""
    guessed = SecretsCollection(root=str(ROOT))
    with default_settings():
        get_settings().disable_filters(_ASKS_ABROAD)
        for file in files:
            guessed.scan_file(file)
    for file, secret in guessed:
        value = secret.secret_value or ""
        # An address is public; a private key is twice as long.
        if _ADDRESS.fullmatch(value) or (secret.type in _OF_GUESSES and file.startswith("tests/")):
            continue
        if secret.type == "Secret Keyword" and file.startswith(_MANIFESTS):
            continue
        yield file, secret.type, _hash(value), secret.line_number
    for file in files:
        yield from ((file, *found) for found in of_ours(_text(file)))


def main(arguments: list[str]) -> int:
    """Scan every tracked file; 1 for a finding that is not known."""
    found = list(findings(_tracked()))
    if arguments == ["--allow"]:
        known = sorted({f"{file} {kind} {digest}" for file, kind, digest, _ in found})
        KNOWN.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        return 0
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    new = [one for one in found if f"{one[0]} {one[1]} {one[2]}" not in known]
    for file, kind, _, line in new:
        print(f"{file}:{line}: {kind}; take it out and change it, or run python -m checks.leaked_secrets --allow.")
    print(f"secrets: {len(new)} found.")
    return int(bool(new))


def _tracked() -> list[str]:
    # What is not ignored counts too: it is what the next commit takes.
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S603 - ours
    names = sorted({name for name in listed.decode().split("\0") if name and name not in _NOT_READ})
    return [name for name in names if (ROOT / name).is_file()]


def _text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8", errors="replace")


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
