"""Other processes for tests about several of them: each runs a small script and speaks in lines."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

# Joins the server below argv[1], says where it is, and leaves when its input ends.
HOLD_POSTGRES = """
import asyncio, sys
from pathlib import Path
from runtime.embedded.servers import embedded_postgres

async def main():
    async with embedded_postgres(Path(sys.argv[1])) as dsn:
        print(dsn, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
HOLD_VALKEY = HOLD_POSTGRES.replace("embedded_postgres", "embedded_valkey")


class Child:
    """A running script."""

    def __init__(self, script, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def line(self):
        """The next line it prints; the test's own time limit bounds the wait."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.strip()

    def send(self, number):
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self):
        """Close its input, or just wait; returns exit code, further output and errors."""
        output, errors = self.process.communicate(timeout=60)
        return self.process.returncode, output, errors

    def kill(self):
        """End it without a chance to clean up."""
        self.send(signal.SIGKILL)
        self.end()


@contextmanager
def child(script, *arguments, **environment):
    """A script that runs for the time of the block, at most."""
    running = Child(script, *arguments, **environment)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()
