"""Where an export goes: to standard output, or to a file that appears when it is whole."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

from runtime.errors import OperatorError


@contextmanager
def written(output: str, *, force: bool) -> Iterator[BinaryIO]:
    """Standard output for `-`, or a file that takes its name when it is whole and is gone when it will not be.

    Raises:
        OperatorError: The file exists and `force` is not given, or it cannot be written.
    """
    if output == "-":
        if sys.stdout.isatty() and sys.stdout.buffer is None:
            raise OperatorError("Standard output takes no bytes; name a file with --output.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    if target.exists() and not force:
        raise OperatorError(f"{output} exists already; give another file, or replace it with --force.")
    try:
        handle, unfinished = mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _give_usual_rights(unfinished)
            Path(unfinished).replace(target)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OperatorError(
            f"{output} cannot be written ({error.strerror or error}); free the disk or name another file."
        ) from error


def _give_usual_rights(path: str) -> None:
    """Temporary files are for their owner alone; a file of this process is for whom its umask says."""
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)
