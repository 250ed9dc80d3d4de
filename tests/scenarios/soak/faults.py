"""What happens to the parts meanwhile: drawn from a seed beforehand, done one after the other, with its times kept."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from localnet.market import Market
from runtime.database import open_connection
from tests.scenarios.soak.estate import ROLES, Estate

KILLS = {f"{role} {how}": (role, number) for role in ROLES for how, number in
         (("killed", signal.SIGKILL), ("stopped", signal.SIGTERM))}  # fmt: skip
# What the parts that keep running are put through to the end, and what ends one of them too.
STAYING = ("valkey flushed", "sockets cut")
DEPENDENCIES = ("valkey restarted", "postgres restarted", "postgres crashed", "connections ended", *STAYING)
EVERYTHING = "everything killed"
# No fault, and yet something that our processes warn of while it lasts.
STRANGERS_AT_WORK = "strangers at work"
KINDS = (*KILLS, *DEPENDENCIES, EVERYTHING)
# Later no process of ours is ended any more, and then no server: each has to live for long to show whether it grows.
_KILLS_UNTIL = 0.45
_RESTARTS_UNTIL = 0.6
_FAULTS_UNTIL = 0.93
_LONGEST_OUTAGE_SECONDS = 2.0
# However slow the machine, so many happen.
_FAULTS_MIN = 2


@dataclass(frozen=True)
class Fault:
    """One thing that is to happen, so many seconds after the beginning, for so long."""

    at_seconds: float
    kind: str
    outage_seconds: float


@dataclass(frozen=True)
class Happened:
    """A fault that happened: from its first moment until what it broke was there again, in Unix seconds."""

    kind: str
    began: float
    ended: float


def plan(seed: int, seconds: float, gap_seconds: float) -> list[Fault]:
    """What is to happen in a soak of so many seconds: every kind in turn, in a random order, at random moments."""
    dice = random.Random(seed)
    faults, at = [], gap_seconds * dice.uniform(0.5, 1.0)
    every, later, last = (_shuffled(dice, kinds) for kinds in (KINDS, DEPENDENCIES, STAYING))
    while at < _FAULTS_UNTIL * seconds:
        kind = next(every if at < _KILLS_UNTIL * seconds else later if at < _RESTARTS_UNTIL * seconds else last)
        faults.append(Fault(at, kind, dice.uniform(0.0, _LONGEST_OUTAGE_SECONDS)))
        at += gap_seconds * dice.uniform(0.5, 1.5)
    return faults


def _shuffled(dice: random.Random, kinds: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from dice.sample(kinds, len(kinds))


@dataclass
class Mischief:
    """Does what is planned. `happened` grows as it goes."""

    estate: Estate
    market: Market
    say: Callable[[str], None]
    # Where a test has no minute to wait until a request whose process died counts as abandoned.
    is_hurried: bool = False
    happened: list[Happened] = field(default_factory=list)

    async def run(self, faults: list[Fault], seconds: float) -> None:
        """Do `faults`, each when its time has come; what a slow machine has no time for is left out, but two."""
        started = time.monotonic()
        for number, fault in enumerate(faults, 1):
            await asyncio.sleep(max(started + fault.at_seconds - time.monotonic(), 0))
            if number > _FAULTS_MIN and time.monotonic() - started > seconds:
                return
            began = time.time()
            await self._do(fault)
            if self.is_hurried and fault.kind in {"api killed", EVERYTHING}:
                await self._age_unanswered()
            self.happened.append(Happened(fault.kind, began, time.time()))
            self.say(f"{time.monotonic() - started:6.1f} s  {fault.kind}, {time.time() - began:.1f} s")

    async def _do(self, fault: Fault) -> None:
        estate = self.estate
        match fault.kind:
            case "valkey flushed":
                await estate.redis.command(b"FLUSHALL\r\n")
            case "valkey restarted":
                await estate.pause_redis(fault.outage_seconds)
            case "postgres restarted":
                await estate.pause_postgres(fault.outage_seconds)
            case "postgres crashed":
                await estate.postgres.crash()
            case "connections ended":
                await estate.end_connections()
            case "sockets cut":
                await self.market.cut_sockets()
            case "everything killed":
                for role in ROLES:
                    await estate.end(role, signal.SIGKILL)
                await asyncio.gather(estate.postgres.crash(), estate.pause_redis(fault.outage_seconds))
                await asyncio.gather(*(estate.start(role) for role in ROLES))
            case kind:
                role, number = KILLS[kind]
                await estate.end(role, number)
                await asyncio.sleep(fault.outage_seconds)
                await estate.start(role)

    async def _age_unanswered(self) -> None:
        async with open_connection(self.estate.dsn, application="soak") as connection:
            await connection.execute(
                "UPDATE idempotent_answers SET created_at = created_at - interval '2 minutes' WHERE status IS NULL"
            )
