"""Two versions of us side by side: the one that is here, and a copy of it that knows one more migration."""

import asyncio
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from migrations.revisions import known_revisions
from tests.support.source_tree import PACKAGES, ROOT

_SECONDS = 60

_REVISION = '''"""Made for a rehearsal."""

from migrations.sql_files import run_sql

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    run_sql(__file__, "up")


def downgrade():
    run_sql(__file__, "down")
'''
# What a migration usually does to a table in use: a column, an index, another table.
_UP = """
ALTER TABLE transactions ADD COLUMN rehearsed text;
CREATE INDEX transactions_rehearsed ON transactions (rehearsed) WHERE rehearsed IS NOT NULL;
ALTER TABLE api_keys ADD COLUMN rehearsed boolean NOT NULL DEFAULT false;
CREATE TABLE rehearsals (id bigint PRIMARY KEY);
"""
_DOWN = """
DROP TABLE rehearsals;
ALTER TABLE api_keys DROP COLUMN rehearsed;
ALTER TABLE transactions DROP COLUMN rehearsed;
"""


def newer_version(directory: Path) -> Path:
    """A copy of our package with a migration more; the directory to run it from."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = known_revisions()[-1]
    stem = directory / "migrations" / "versions" / f"{int(before) + 1:04}_rehearsal"
    stem.with_suffix(".py").write_text(_REVISION.format(revision=f"{int(before) + 1:04}", before=before))
    stem.with_suffix(".up.sql").write_text(_UP)
    stem.with_suffix(".down.sql").write_text(_DOWN)
    return directory


@dataclass
class Version:
    """Processes of one version, with an environment that all of them share."""

    directory: Path
    environment: dict[str, str]
    log: object
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, *arguments, **variables):
        """Start a process and wait for its ready line; returns both."""
        process = await self._spawn(*arguments, "--json", **variables)
        self.processes.append(process)
        async with asyncio.timeout(_SECONDS):
            line = await process.stdout.readline()
        assert line, f"{arguments} did not start; see its log"
        return process, json.loads(line)

    async def run(self, *arguments, **variables) -> str:
        """Run a command to its end; fails unless it ended with 0."""
        process = await self._spawn(*arguments, **variables)
        async with asyncio.timeout(_SECONDS):
            out, _ = await process.communicate()
        assert process.returncode == 0, (arguments, process.returncode, out.decode())
        return out.decode()

    async def _spawn(self, *arguments, **variables):
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            *arguments,
            cwd=self.directory,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(self.directory),
                **self.environment,
                **{name: str(value) for name, value in variables.items()},
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=self.log,
        )

    async def end(self):
        """Whatever still runs."""
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def stopped(process) -> int:
    """Ask a process to end; its exit code."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(_SECONDS):
        return await process.wait()
