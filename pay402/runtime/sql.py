"""Named queries from `.sql` files beside the module that runs them."""

from importlib import resources
from typing import Any

import aiosql


def load_queries(package: str, *files: str) -> Any:
    """The queries of `files` in `package`, each a coroutine method by its name.

    A name ending in `^` answers one row, `!` nothing, `<!` one row of a write, no sign many rows.
    """
    texts = [resources.files(package).joinpath(file).read_text(encoding="utf-8") for file in files]
    return aiosql.from_str("\n\n".join(texts), "asyncpg", mandatory_parameters=False)
