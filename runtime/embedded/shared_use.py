"""Who uses an embedded server right now: counted by file locks, which the kernel drops when a process dies.

No list of process ids is kept, so nothing is left to clean up after SIGKILL and no recycled id can deceive.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from runtime.errors import OperatorError

_DOOR_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.02


class SharedUse:
    """One process's share in a thing that several processes use.

    Whoever starts, stops, joins or leaves holds the door meanwhile. Every method may block: call it in a thread.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._door = directory / f"{name}.door"
        self._users = directory / f"{name}.users"
        self._handle: int | None = None

    @contextmanager
    def door(self) -> Iterator[None]:
        """Hold the door: one process at a time comes or goes.

        Raises:
            OperatorError: Another process holds it for longer than any start takes.
        """
        import fcntl

        descriptor = os.open(self._door, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + _DOOR_SECONDS
            while not _try_lock(descriptor, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise OperatorError(
                        f"Another process has held {self._door} for {_DOOR_SECONDS:.0f} s; "
                        "end the pay402 process that hangs and start again."
                    )
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    @property
    def is_held(self) -> bool:
        """True between `join` and `leave`."""
        return self._handle is not None

    def join(self) -> None:
        """Count as a user. The caller holds the door."""
        import fcntl

        self._handle = os.open(self._users, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Stop counting as a user; true when nobody else is left. The caller holds the door."""
        import fcntl

        if self._handle is None:
            return False
        handle, self._handle = self._handle, None
        try:
            return _try_lock(handle, fcntl.LOCK_EX)
        finally:
            os.close(handle)


def _try_lock(descriptor: int, kind: int) -> bool:
    import fcntl

    with suppress(BlockingIOError):
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return True
    return False
