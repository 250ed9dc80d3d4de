"""Structured logs on standard error: JSON lines, or coloured text for a developer's terminal. Secrets are scrubbed."""

import logging
import re
import sys
from typing import Any, Final, TextIO

import structlog

from runtime.log_files import log_files
from runtime.settings import Settings

_SECRETS: Final = (
    # The password of an address, with whatever unescaped signs are in it.
    re.compile(r"(://[^/@\s:]*:)[^\s\"']+(@)"),
    re.compile(r"((?:postgres(?:ql)?|rediss?)://[^/@\s:]*:)[^\n\"']+(@)"),
    re.compile(r"([?&](?:api[-_]?key|access[-_]?token|token|key|secret|password|auth)=)[^&\s\"'\\]+()", re.IGNORECASE),
    # Our own API keys; their public beginning stays, which says whose they are.
    re.compile(r"\b(?!sk_[a-z]+_[0-9a-f]{10}\b)(sk_(?:live|test)_(?:[0-9a-f]{10}(?=[0-9a-f]{64}\b))?)\w+()"),
)
# One of these is in whatever any of them finds; most lines have none, and each pattern costs more than all of these.
_MARKS: Final = ("://", "=", "sk_")


COMMAND: Final = "command"
"""The service of whatever an operator runs that ends by itself."""


def scrub(text: str) -> str:
    """`text` without the passwords and API keys that addresses carry."""
    if not any(mark in text for mark in _MARKS):
        return text
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***\2", text)
    return text


class _Scrubbed:
    """A renderer whose whole line is scrubbed: values, nested values and tracebacks alike."""

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer

    def __call__(self, logger: Any, name: str, event: Any) -> str:
        return scrub(str(self._renderer(logger, name, event)))


class _Service:
    """Says on each line which process wrote it: the name of a module does not."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: Any, _name: str, event: Any) -> Any:
        event["service"] = self._service
        return event


def configure_logging(settings: Settings, service: str = COMMAND, *, stream: TextIO | None = None) -> None:
    """Send the process's logs, those of libraries and warnings included, to standard error.

    JSON lines, except in development on a terminal; of a process that goes on, to the files of LOG_DIR too.

    Args:
        settings: The level, and the environment.
        service: What each line carries as `service`: `api`, `indexer`, `worker`, `localnet`, `system` or `command`.
        stream: Where to instead of standard error.

    Raises:
        OperatorError: The files of LOG_DIR cannot be written.
    """
    stream = stream or sys.stderr
    readable = settings.app_env == "development" and stream.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _Service(service),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if readable:
        # Without local variables: among those are signing keys and whatever callers send.
        plain = structlog.dev.plain_traceback
        last.append(_Scrubbed(structlog.dev.ConsoleRenderer(exception_formatter=plain)))
    else:
        last += [
            structlog.processors.format_exc_info,
            _Scrubbed(structlog.processors.JSONRenderer(default=str)),
        ]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    # A command may be run by root, whose files the processes could not append to.
    directory = None if service == COMMAND else settings.log_directory
    root.handlers = [handler, *(() if directory is None else log_files(directory, formatter))]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    # Libraries log their every step at info, arq 200 lines a minute; an operator reads ours.
    # What the pool says of a database that is away, with a traceback each time, our own line says in one.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    for name in ("aiohttp", "alembic", "arq", "asyncio", "sqlalchemy", "stamina", "websockets"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
