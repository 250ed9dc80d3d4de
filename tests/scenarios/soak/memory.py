"""How large each part is, second by second, and whether it grows: each process apart, from start to end."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import psutil

from tests.scenarios.soak.estate import ROLES, Estate

SAMPLE_SECONDS = 1.0
# The node keeps every block that there ever was, as an archive does; it is no part of what is sold.
JUDGED = (*ROLES, "postgres", "valkey")
# The second half of a shorter life is a start that has not ended.
LONG_LIFE_SECONDS = 120.0
# What a fitted line may rise from the middle of a life to its end: caches fill, and malloc keeps what it once had.
GROWTH_SHARE_MAX = 0.025
_GROWTH_MEGABYTES_MAX = 2.0
# Each connection of Postgres keeps the plans and the catalogue of whatever it was ever asked, and a pool asks some
# connections seldom: below this for each of its processes it fills its caches, and above it grows.
CACHES_MEGABYTES = 10.0


@dataclass
class Life:
    """The size of one process, or of Postgres' family: Unix seconds and megabytes."""

    role: str
    pid: int
    at: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    processes: int = 1

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return self.at[-1] - self.at[0]

    @property
    def is_long(self) -> bool:
        """True when it lived for long enough to be judged."""
        return self.role in JUDGED and self.seconds >= LONG_LIFE_SECONDS

    @property
    def megabytes_an_hour(self) -> float:
        """The slope of the line that fits the second half of its life best."""
        middle = self.at[0] + self.seconds / 2
        half = [(at, size) for at, size in zip(self.at, self.megabytes, strict=True) if at >= middle]
        mean_at = sum(at for at, _ in half) / len(half)
        mean_size = sum(size for _, size in half) / len(half)
        spread = sum((at - mean_at) ** 2 for at, _ in half)
        return 3600 * sum((at - mean_at) * (size - mean_size) for at, size in half) / spread if spread else 0.0

    @property
    def growth_megabytes(self) -> float:
        """What that line rises by over the second half."""
        return self.megabytes_an_hour * self.seconds / 2 / 3600

    @property
    def bound_megabytes(self) -> float:
        """What it may rise by."""
        return max(GROWTH_SHARE_MAX * max(self.megabytes), _GROWTH_MEGABYTES_MAX)

    @property
    def is_flat(self) -> bool:
        """True when it does not grow by more than is allowed, or lived too short to tell."""
        is_filling = self.role == "postgres" and self.megabytes[-1] <= CACHES_MEGABYTES * self.processes
        return not self.is_long or is_filling or self.growth_megabytes <= self.bound_megabytes


@dataclass
class Watch:
    """Looks at every process each second."""

    estate: Estate
    lives: dict[tuple[str, int], Life] = field(default_factory=dict)

    async def run(self) -> None:
        """Watch until cancelled."""
        due = time.monotonic()
        while True:
            self.look()
            due += SAMPLE_SECONDS
            await asyncio.sleep(max(due - time.monotonic(), 0))

    def look(self) -> None:
        """One sample of each part."""
        for role, pids in self.estate.families().items():
            # Between its death and its successor's start a process id names nothing, or no longer ours.
            with contextlib.suppress(psutil.Error):
                megabytes, cpu_seconds = _measure(role, pids)
                life = self.lives.setdefault((role, pids[0]), Life(role, pids[0]))
                life.at.append(time.time())
                life.megabytes.append(megabytes)
                life.cpu_seconds = max(life.cpu_seconds, cpu_seconds)
                life.processes = len(pids)

    def of(self, role: str) -> list[Life]:
        """The lives of a part, one after the other."""
        return [life for life in self.lives.values() if life.role == role]


def _measure(role: str, pids: list[int]) -> tuple[float, float]:
    """Megabytes and processor seconds of a part; the buffers that Postgres' processes share count for none of them."""
    size, cpu = 0, 0.0
    for pid in pids:
        # The backend of a connection that has just been closed is no loss to the sum.
        with contextlib.suppress(psutil.Error) if pid != pids[0] else contextlib.nullcontext():
            process = psutil.Process(pid)
            memory, times = process.memory_info(), process.cpu_times()
            size += memory.rss - (memory.shared if role == "postgres" else 0)
            cpu += times.user + times.system
    return size / 1e6, cpu
