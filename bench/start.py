"""What it costs until a command answers and until the whole system is ready, and what memory its processes have.

The ceiling is the start of bare Python. Ratios are of processor time, user and system, which neighbours on the machine
change far less than they change the time on the clock; that stands beside it.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from bench.conclusion import conclude
from bench.points import Point

_ROUNDS: Final = 7
_BARE: Final = (sys.executable, "-c", "pass")
_PAY402: Final = (sys.executable, "-m", "cli")
_COMMANDS: Final = {
    "pay402 --help": ("--help",),
    "pay402 recipients list --help": ("recipients", "list", "--help"),
    "pay402 recipients list": ("recipients", "list"),
    "pay402 events list": ("events", "list"),
    "pay402 migrate status": ("migrate", "status"),
}
_PROCESSES: Final = ("localnet", "indexer", "worker", "api")


def run() -> bool:
    """Measure, print, write, draw. There is no bound: it is the ratios that are watched."""
    points = []
    bare, _ = _cost(_BARE, {})
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as home:
        for start in ("first start", "second start"):
            points += _system(Path(home), start, bare)
    return conclude(
        "start", "Start: processor time, p50; the note has the clock's and memory", points, size_name="starts"
    )


def _cost(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of processor and on the clock, the medians of some rounds."""
    processor, clock = [], []
    for _ in range(_ROUNDS):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})  # noqa: S603 - ours
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock.append(time.perf_counter() - started)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(processor), statistics.median(clock)


def _system(home: Path, start: str, bare: float) -> list[Point]:
    """The system's readiness and memory, and on its second start the commands, beside it as an operator runs them."""
    environment = {"PAY402_HOME": str(home), "PORT": "0"}
    started = time.perf_counter()
    command = [*_PAY402, "up", "--json", "--rpc-port", "0"]
    given = {**os.environ, **environment}
    with subprocess.Popen(  # noqa: S603 - ours
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=given
    ) as up:
        try:
            assert up.stdout is not None
            up.stdout.readline()
            clock = time.perf_counter() - started
            supervisor = psutil.Process(up.pid)
            processes = {_name_of(one): one for one in supervisor.children()} | {"supervisor": supervisor}
            ours = {name: one for name, one in processes.items() if name in {*_PROCESSES, "supervisor"}}
            processor = sum(sum(one.cpu_times()[:4]) for one in ours.values())  # with the children that have ended
            memory = ", ".join(f"{name} {one.memory_full_info().pss / 1e6:.0f} MB" for name, one in ours.items())
            note = f"{clock:.2f} s; PSS: {memory}"
            points = [Point(f"pay402 up ({start})", 1, processor, bare, None, None, note)]
            if start == "second start":
                for name, arguments in _COMMANDS.items():
                    spent, seconds = _cost([*_PAY402, *arguments], environment)
                    points.append(Point(name, 1, spent, bare, None, None, f"{seconds:.2f} s"))
        finally:
            up.terminate()
            up.wait()
    return points


def _name_of(process: psutil.Process) -> str:
    return next((part for part in process.cmdline() if part in _PROCESSES), process.name())
