"""The account embedded servers run as. Postgres refuses root, and nothing embedded needs root's powers."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runtime.errors import OperatorError

_UNPRIVILEGED: Final = "nobody"


@dataclass(frozen=True, slots=True)
class OsAccount:
    """A user and group of the operating system, or ourselves when `user` is None."""

    user: int | None
    group: int | None

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments of `subprocess.run` that switch to this account.

        The environment is empty but for these: variables such as PGPORT, PGDATA or LC_ALL would change what
        the servers do. A session of its own keeps Ctrl-C on the terminal away from them.
        """
        options: dict[str, Any] = {
            "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            "start_new_session": True,
            "umask": 0o077,
        }
        if self.user is not None:
            options |= {"user": self.user, "group": self.group, "extra_groups": []}
        return options

    def own(self, path: Path) -> None:
        """Give `path` to this account."""
        if self.user is not None:
            os.chown(path, self.user, -1 if self.group is None else self.group)

    def let_through(self, path: Path) -> None:
        """Let this account pass the directories above `path`: to traverse them, not to list them."""
        if self.user is None:
            return
        for directory in path.parents:
            status = directory.stat()
            if not status.st_mode & stat.S_IXOTH and status.st_uid != self.user:
                directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)

    def let_run(self, installation: Path, program: Path) -> None:
        """Let this account run `program`; an installation under a tight umask is readable to its owner only."""
        if self.user is None:
            return
        self.let_through(program)
        if program.stat().st_mode & stat.S_IXOTH:
            return
        for path in (installation, *installation.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def account_for(data: Path) -> OsAccount:
    """The account that servers with their files in `data` run as.

    Root becomes the owner of the files, or `nobody`, which exists everywhere.

    Raises:
        OperatorError: We are root and there is nobody to step down to.
    """
    if os.geteuid() != 0:
        return OsAccount(None, None)
    if data.exists() and (status := data.stat()).st_uid != 0:
        return OsAccount(status.st_uid, status.st_gid)
    import pwd

    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise OperatorError(
            f"Postgres does not run as root and this machine has no user {_UNPRIVILEGED!r}; "
            "start pay402 as an ordinary user."
        ) from None
    return OsAccount(entry.pw_uid, entry.pw_gid)
