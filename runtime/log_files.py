"""Logs as files below LOG_DIR, besides standard error: `access.log` for requests and `error.log` for errors."""

import datetime as dt
import json
import logging
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Final

from runtime.errors import OperatorError

ACCESS: Final = "api.access"
"""The logger of requests, and of origins that were refused."""


def log_files(directory: Path, formatter: logging.Formatter) -> list[logging.Handler]:
    """Handlers that append to the files of `directory`, which is made if it is missing.

    `access.log` has the Common Log Format, with milliseconds and the request's id at the end; `error.log` has lines of
    level error and above as `formatter` writes them. Whoever rotates them may rename them: they are opened anew. Many
    processes may write to one directory.

    Raises:
        OperatorError: The files cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        access = WatchedFileHandler(directory / "access.log", encoding="utf-8")
        errors = WatchedFileHandler(directory / "error.log", encoding="utf-8")
    except OSError as error:
        raise OperatorError(
            f"LOG_DIR names {directory}, where no log can be written ({error.strerror}); "
            "give a directory that this process's user may write to, or unset LOG_DIR."
        ) from error
    access.addFilter(lambda record: record.name == ACCESS)
    access.setFormatter(_CommonLogFormat())
    errors.setLevel(logging.ERROR)
    errors.setFormatter(formatter)
    return [access, errors]


class _CommonLogFormat(logging.Formatter):
    """A request as web servers log it. The place of its path is its route's: what was sent may be a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a request, or of what was said about one, with what it was said of at the end."""
        said: Any = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        time = dt.datetime.fromtimestamp(record.created, dt.UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        start = f"{said.get('client', '-')} - - [{time}]"
        if said.get("event") != "request":
            return f"{start} {json.dumps(said.get('event'))} - - {json.dumps(said.get('origin', '-'))}"
        asked = f"{said['method']} {said['route']} HTTP/1.1"
        return f'{start} "{asked}" {said["status"]} - {said["ms"]} {said.get("request_id", "-")}'
