"""What the processes and Postgres said, and whether a fault explains it."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.soak.estate import ROLES, Estate
from tests.scenarios.soak.faults import EVERYTHING, STRANGERS_AT_WORK, Happened

POSTGRES_FAULTS = ("postgres restarted", "postgres crashed", "connections ended", EVERYTHING)
VALKEY_FAULTS = ("valkey restarted", "valkey flushed", EVERYTHING)
INDEXER_FAULTS = ("indexer killed", "indexer stopped", *POSTGRES_FAULTS, "sockets cut")

# What each warning is explained by: an event that is not here is explained by nothing, an error least of all.
EXPLAINED_BY = {
    "database_away": POSTGRES_FAULTS,
    "not_listening": POSTGRES_FAULTS,
    "no_sign_of_life": POSTGRES_FAULTS,
    "not_finalized": POSTGRES_FAULTS,
    "not_audited": POSTGRES_FAULTS,
    "recipients_not_read": POSTGRES_FAULTS,
    "requests_not_worked_off": POSTGRES_FAULTS,
    "wallet_not_scanned": POSTGRES_FAULTS,
    "heal_failed": POSTGRES_FAULTS,
    "heal_reason_not_stored": POSTGRES_FAULTS,
    "key_use_not_noted": POSTGRES_FAULTS,
    "redis_away": VALKEY_FAULTS,
    "redis_lost": VALKEY_FAULTS,
    "limits_not_shared": VALKEY_FAULTS,
    "socket_ended": ("sockets cut",),
    # What the indexer was not told of, since it did not run or did not listen, is found by the worker or the audit.
    # One node tells of payments that the other does not know, and of which the chain of balances knows nothing.
    "missed_payments": (*INDEXER_FAULTS, STRANGERS_AT_WORK),
    "audit_disagreed": (*INDEXER_FAULTS, STRANGERS_AT_WORK),
    # A payout whose answer was lost with its process, or whose funding is not final yet, waits for its next attempt;
    # dust waits for its owner.
    "payout_waits": (*INDEXER_FAULTS, STRANGERS_AT_WORK),
    "orphaned": (STRANGERS_AT_WORK,),
}
# Errors that an operator has to see, and that are right: what only one node knows is contested.
ERRORS_EXPLAINED_BY = {"payments_contested": (STRANGERS_AT_WORK,)}
_POSTGRES_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC \[\d+\] (ERROR|FATAL|PANIC):  (.*)$")
_LEVELS = ("warning", "error", "critical")


@dataclass(frozen=True)
class Said:
    """One line at warning or above; `at` in Unix seconds, None where the line does not even say when."""

    who: str
    at: float | None
    level: str
    event: str
    line: str


def spoken(estate: Estate) -> Iterator[Said]:
    """Every warning and error of every process of ours, and of Postgres."""
    for role in (*ROLES, "localnet"):
        for line in _lines(estate.log_of(role)):
            yield from _read(role, line)
    for line in _lines(estate.postgres.server.log):
        if found := _POSTGRES_LINE.match(line):
            at = dt.datetime.fromisoformat(found[1]).replace(tzinfo=dt.UTC).timestamp()
            yield Said("postgres", at, found[2].lower(), "", line)


def _read(who: str, line: str) -> Iterator[Said]:
    try:
        reported = json.loads(line)
        at = dt.datetime.fromisoformat(reported["timestamp"]).timestamp()
        level, event = reported["level"], reported["event"]
    except (ValueError, KeyError, TypeError):
        # A traceback, or a sentence for the operator: no line of a process that is well.
        yield Said(who, None, "error", "", line)
        return
    if level in _LEVELS:
        yield Said(who, at, level, event, line)


def is_explained(said: Said, happened: list[Happened], grace_seconds: float) -> bool:
    """True when a fault that has such consequences was at work, or had just been."""
    if said.who == "postgres":
        kinds = POSTGRES_FAULTS if said.level != "error" else ()
    else:
        explained_by = EXPLAINED_BY if said.level == "warning" else ERRORS_EXPLAINED_BY
        kinds = explained_by.get(said.event, ())
    return said.at is not None and within(said.at, kinds, happened, grace_seconds)


def within(at: float, kinds: tuple[str, ...], happened: list[Happened], grace_seconds: float) -> bool:
    """True when a fault of one of `kinds` was at work at that time, or had ended shortly before."""
    return any(one.kind in kinds and one.began <= at <= one.ended + grace_seconds for one in happened)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(errors="replace").splitlines() if line.strip()] if path.exists() else []
