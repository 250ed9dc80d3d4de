"""Which versions of the schema this installation knows, by the names of their files."""

from functools import cache
from pathlib import Path
from typing import Final

VERSIONS: Final = Path(__file__).parent / "versions"


@cache
def known_revisions() -> tuple[str, ...]:
    """Every revision, oldest first. A file is `<revision>_<what it is about>.up.sql`."""
    return tuple(sorted(path.name.partition("_")[0] for path in VERSIONS.glob("*.up.sql")))
