"""The real `pay402` command in a process of its own, with nothing in its environment but what a test gives it."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from runtime.errors import OperatorError
from tests.support.sentences import assert_sentence

_SECONDS = 60


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON line that it printed."""
        assert self.code == 0, self
        assert self.out.endswith("\n"), self.out
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        assert self.code == 0, self
        return [json.loads(line) for line in self.out.splitlines()]

    def assert_refused(self, *naming: str, hiding: tuple[str, ...] = (), code: int = 1) -> None:
        """Fail unless it ended with `code` and one sentence for the operator, and printed nothing else."""
        assert self.out == "", self
        assert "Traceback" not in self.err, self
        assert "defect" not in self.err, self
        assert self.err.startswith("error: "), self
        assert_sentence(self.err.removeprefix("error: ").removesuffix("\n"), naming=naming, hiding=hiding)
        assert self.code == code, self


def environment(home, variables):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PAY402_HOME": str(home),
        # What a library warns of is an error here too, in the command and in the processes that it starts.
        "PYTHONWARNINGS": "error",
        **variables,
    }


async def pay402(*arguments, home, stdin=b"", **variables) -> Done:
    """Run `pay402 ARGUMENTS` to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *map(str, arguments),
        env=environment(home, variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@dataclass
class Running:
    """A command that runs until it is told to stop."""

    process: asyncio.subprocess.Process
    stderr: Any

    @property
    def pid(self) -> int:
        return self.process.pid

    async def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            line = (await self.process.stdout.readline()).decode()
        assert line, f"it ended instead: {self.errors()}"
        return line

    async def ended(self) -> Done:
        """How it ended, with what it printed since the last `line`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            rest = await self.process.stdout.read()
            code = await self.process.wait()
        return Done(code, rest.decode(), self.errors())

    async def stopped(self, number=signal.SIGTERM) -> Done:
        """Send it a signal, and answer how it ended."""
        self.process.send_signal(number)
        return await self.ended()

    def errors(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read().decode()


@asynccontextmanager
async def running(*arguments, home, **variables):
    """`pay402 ARGUMENTS` for the time of the block, in a process group of its own."""
    # A file and not a pipe: nobody reads it meanwhile, and processes that it starts write there too.
    with tempfile.TemporaryFile() as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            *map(str, arguments),
            env=environment(home, variables),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            yield Running(process, stderr)
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(20):
                        await process.wait()
                except TimeoutError:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()


def processes_of(home) -> list[psutil.Process]:
    """Every living process whose command line, environment or directory names `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values(), process.cwd()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(home) in word for word in words):
                found.append(process)
        except psutil.Error:
            continue
    return found


async def eventually(check, seconds=20.0):
    """Wait until `check()`, which may be async, gives something true; fail with its last answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = check()
            if asyncio.iscoroutine(found):
                found = await found
        except (OSError, OperatorError) as error:
            found, last = None, error
        else:
            last = found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {last!r}"
        await asyncio.sleep(0.02)
