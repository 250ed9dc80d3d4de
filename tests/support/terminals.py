"""What a command shows at a terminal of a certain width."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios


def at_a_terminal(arguments, env, *, shows="stderr", columns=80):
    """What a terminal shows of a command on `shows`, what its other output holds, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    other = "stdout" if shows == "stderr" else "stderr"
    with subprocess.Popen(
        arguments, env={**env, "TERM": "xterm-256color"}, text=True, **{shows: theirs, other: subprocess.PIPE}
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # what a terminal says that nobody writes to any more
            while chunk := os.read(ours, 4096):
                shown += chunk
        printed = getattr(process, other).read()
    os.close(ours)
    return shown.decode(), printed, process.returncode
