"""Postgres: reachable, of a supported version, with our schema and all of its indexes, and with sound books."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from typing import Any, Final

import asyncpg

from cli.diagnosis import configuration, webhook_keys
from cli.diagnosis.diagnoses import Diagnosis, bad, doubtful, from_sentence, good
from ledger.heartbeats import signs_of_life
from ledger.invariants import INVARIANTS, check_invariants
from ledger.payout_exports import PayableTwice, payable_twice
from ledger.sql import load_queries
from ledger.webhooks import seals
from ledger.witness import WitnessState, witness_state
from migrations.status import MigrationStatus, read_status
from runtime.connection_string import place, read_connection_string
from runtime.database import open_connection
from runtime.database_errors import DATABASE_ERRORS
from runtime.errors import OperatorError
from runtime.pooling import Pooling, pooling_of
from runtime.webhook_seal import WebhookSeal

_queries = load_queries("cli.diagnosis", "diagnosis.sql")

VERSIONS: Final = (16, 17, 18)
_CLOCK_SECONDS: Final = 5.0
# The indexer audits once a minute: five missed audits are no accident.
_AUDIT_SECONDS: Final = 300.0
_WITNESS_SECONDS: Final = 60.0
_SHOWN: Final = 5
_SILENT_SECONDS: Final = 60.0
# Half a minute of the chain.
_LAG_SLOTS: Final = 75
_CREATED: Final = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\S+) ON .*;$", re.MULTILINE)
_CONSTRAINED: Final = re.compile(r"ADD CONSTRAINT (\S+) (?:PRIMARY KEY|UNIQUE|EXCLUDE)\b")


async def examine(
    dsn: str, *, production: bool, at_rest: bool, webhook_seal: WebhookSeal | None = None
) -> list[Diagnosis]:
    """Every diagnosis about the database at `dsn`; `at_rest` expects no indexer to be running.

    Without a `webhook_seal` the keys of webhooks are not looked at.
    """
    try:
        async with open_connection(dsn, application="doctor", statement_timeout_seconds=20.0) as connection:
            found = [_version(connection, dsn), await _pooling(connection, dsn), await _writes(connection)]
            found.append(await _clock(connection))
            encrypted = await _queries.is_encrypted(connection)
            found += configuration.encryption("DATABASE_URL", dsn, encrypted=bool(encrypted), production=production)
            status = await read_status(connection)
            found.append(_schema(status))
            if status.is_current:
                found.append(await indexes(connection))
                found += [diagnosis async for diagnosis in _books(connection, at_rest=at_rest)]
                found.append(await _money(connection))
                found += [_exported(one) for one in await payable_twice(connection)]
                found += [diagnosis async for diagnosis in _life(connection, at_rest=at_rest)]
                if webhook_seal is not None:
                    found += webhook_keys.examine(await seals(connection), webhook_seal, production=production)
            return found
    except OperatorError as error:
        return [from_sentence("database", "connection", str(error))]
    except DATABASE_ERRORS as error:
        reason = str(error).partition("\n")[0]
        return [bad("database", "queries", reason, "see the server's log, and grant what is missing to our user")]


def _version(connection: "asyncpg.Connection[Any]", dsn: str) -> Diagnosis:
    version = connection.get_server_version()
    detail = f"Postgres {version.major}.{version.micro} at {place(dsn)}"
    if version.major not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        return bad("database", "version", detail, f"use one of the versions that are tested: {known}")
    return good("database", "version", detail)


async def _pooling(connection: "asyncpg.Connection[Any]", dsn: str) -> Diagnosis:
    """Which pooler stands between; one that shares sessions has been refused before this."""
    found = await pooling_of(read_connection_string(dsn), connection)
    if found is Pooling.NONE:
        return good("database", "pooling", "no pooler stands between")
    return good("database", "pooling", "a pooler that keeps a session for each client, which works")


async def _writes(connection: "asyncpg.Connection[Any]") -> Diagnosis:
    if await connection.fetchval("SELECT current_setting('transaction_read_only')") == "on":
        return bad(
            "database", "writes", "it is read-only (a replica, or failed over)", "give DATABASE_URL of the primary"
        )
    return good("database", "writes", "it takes writes")


async def _clock(connection: "asyncpg.Connection[Any]") -> Diagnosis:
    before = time.time()
    server = await _queries.server_clock(connection)
    apart = server - (before + time.time()) / 2
    detail = f"the server's is {apart:+.1f} s from ours"
    if abs(apart) > _CLOCK_SECONDS:
        return bad("database", "clock", detail, "synchronise both with NTP: expiry is judged by either")
    return good("database", "clock", detail)


def _schema(status: MigrationStatus) -> Diagnosis:
    if status.is_current:
        return good("database", "schema", f"at {status.current}, which is current")
    if status.is_unknown:
        detail = f"at {status.current}, newer than {status.head}"
        return bad("database", "schema", detail, "install the newer pay402 that migrated it")
    return bad(
        "database",
        "schema",
        f"{f'at {status.current}' if status.current else 'missing'}, not at {status.head}",
        "run pay402 migrate up",
    )


async def indexes(connection: "asyncpg.Connection[Any]") -> Diagnosis:
    """Whether every index of schema.sql is there, usable, and on the same columns."""
    schema = resources.files("migrations").joinpath("schema.sql").read_text(encoding="utf-8")
    created = {match[1]: _unqualified(match[0].rstrip(";")) for match in _CREATED.finditer(schema)}
    wanted = [*created, *_CONSTRAINED.findall(schema)]
    present = {row["name"]: row async for row in _queries.indexes_present(connection)}
    flaws = list(_flaws(wanted, created, present))
    if flaws:
        remedy = "create what is missing as migrations/schema.sql has it, and REINDEX INDEX CONCURRENTLY the rest"
        return bad("database", "indexes", "; ".join(flaws), remedy)
    return good("database", "indexes", f"all {len(wanted)} are present and valid")


def _unqualified(definition: str) -> str:
    """Without the schema's name, which depends on the reader's search path."""
    return definition.replace("public.", "")


def _flaws(wanted: list[str], created: dict[str, str], present: dict[str, Any]) -> Iterator[str]:
    for name in wanted:
        if name not in present:
            yield f"{name} is missing"
        elif not present[name]["valid"]:
            yield f"{name} is not valid"
        elif name in created and created[name] != _unqualified(present[name]["definition"]):
            yield f"{name} is not the one of our schema"


async def _books(connection: "asyncpg.Connection[Any]", *, at_rest: bool) -> AsyncIterator[Diagnosis]:
    row = await _queries.audit_state(connection)
    if row["accounts"] == 0:
        yield doubtful("ledger", "recipients", "no wallet is followed", "add one with pay402 recipients add")
        return
    if row["drifting"] or row["gaps"]:
        detail = f"{row['drifting']} of {row['accounts']} accounts drift, {row['gaps']} gaps"
        yield bad("ledger", "audit", detail, "run pay402 audit --heal, and see LedgerDrift in the runbook")
    elif row["unaudited"]:
        detail = f"{row['unaudited']} of {row['accounts']} accounts were never audited"
        yield doubtful("ledger", "audit", detail, "run pay402 audit, or wait a minute for the indexer's own")
    else:
        yield good("ledger", "audit", f"{row['accounts']} accounts agree with the chain, no gaps")
    yield _witnesses(await witness_state(connection))
    if row["unhealed"]:
        detail = f"{row['unhealed']} accounts wait for more than 15 minutes to be healed"
        yield bad("ledger", "healing", detail, "run pay402 audit --heal and read what it says of the nodes")
    if (age := row["oldest_seconds"]) is not None and age > _AUDIT_SECONDS and not at_rest:
        remedy = "read the indexer's log: audits fail, or take longer than they should"
        yield doubtful("ledger", "audits", f"an account was last audited {age:.0f} s ago", remedy)


def _witnesses(state: WitnessState) -> Diagnosis:
    """Whether the nodes agree about what was paid."""
    if state.contested:
        detail = f"the nodes disagree about {state.contested} transfers, which honour nobody"
        return bad("ledger", "witnesses", detail, "see PaymentsContested in the runbook: one of the nodes is wrong")
    if state.oldest_seconds > _WITNESS_SECONDS:
        detail = f"{state.awaiting} transfers wait for a second node, the oldest for {state.oldest_seconds:.0f} s"
        remedy = "see WitnessesMissing in the runbook: a node is down or behind"
        return doubtful("ledger", "witnesses", detail, remedy)
    return good("ledger", "witnesses", "no transfer waits long for a second node")


async def _money(connection: "asyncpg.Connection[Any]") -> Diagnosis:
    violations = await check_invariants(connection)
    if not violations:
        return good("ledger", "money", f"all {len(INVARIANTS)} invariants hold")
    shown = [f"{one.invariant}: {one.subject} has {one.found}, not {one.expected}" for one in violations[:_SHOWN]]
    more = f", and {len(violations) - _SHOWN} more" if len(violations) > _SHOWN else ""
    remedy = "stop the worker, so that no payout leaves, and see InvariantViolated in the runbook"
    return bad("ledger", "money", "; ".join(shown) + more, remedy)


def _exported(payout: PayableTwice) -> Diagnosis:
    return doubtful("payouts", f"export {payout.payout_id}", payout.warning, payout.remedy)


async def _life(connection: "asyncpg.Connection[Any]", *, at_rest: bool) -> AsyncIterator[Diagnosis]:
    judge = doubtful if at_rest else bad
    shown = await signs_of_life(connection)
    for role in ("indexer", "worker"):
        sign, remedy = shown.get(role), f"start pay402 {role}, or read its log"
        if sign is None:
            yield judge(role, "alive", "none has ever shown itself", remedy)
        elif sign.age_seconds > _SILENT_SECONDS:
            yield judge(role, "alive", f"the last sign of life was {sign.age_seconds:.0f} s ago", remedy)
        else:
            yield good(role, "alive", f"the last sign of life was {sign.age_seconds:.0f} s ago")
    if "indexer" in shown and (waiting := shown["indexer"].accounts_waiting):
        detail = f"{waiting} empty token accounts that strangers opened are not followed"
        yield doubtful("indexer", "accounts", detail, "nothing: each is followed as soon as it is paid")
    lag = shown["indexer"].lag_slots if "indexer" in shown else None
    if lag is not None and lag > _LAG_SLOTS:
        remedy = "see IndexerLagging in the runbook: a slow node, a slow database, or more load than it is sized for"
        yield bad("indexer", "lag", f"{lag} slots behind what it has seen", remedy)
    elif lag is not None:
        yield good("indexer", "lag", f"{max(lag, 0)} slots behind what it has seen")
