"""What must be true at the end of a soak, point by point."""

import asyncio
import base64
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import asyncpg
from solders.pubkey import Pubkey

from ledger.tokens import NATIVE_SOL
from localnet.payments import USDC, token_account
from runtime.database import open_connection
from tests.scenarios.chain_read import read_chain
from tests.scenarios.reckoning import (
    lamports_are_explained,
    no_claim_without_a_gain,
    no_invention_was_honoured,
    no_more_out_than_in,
)
from tests.scenarios.soak.estate import ROLES, Estate, command_environment
from tests.scenarios.soak.faults import EVERYTHING, Happened
from tests.scenarios.soak.logs import POSTGRES_FAULTS, Said, is_explained, spoken, within
from tests.scenarios.soak.memory import Watch
from tests.scenarios.soak.trade import JOB_PRICE, Trade
from tests.scenarios.strangers import Strangers
from tests.support.ledger_checks import ledger_transfers

_SHOWN = 3
_API_AWAY = ("api killed", "api stopped", EVERYTHING)
_UNAVAILABLE = 503
# What callers here may be told besides success: not yet, come again, used already, and a step that was taken before.
_EXPECTED_STATUSES = {200, 201, 402, 409}


@dataclass(frozen=True)
class Point:
    """One thing that must be true, and what was found."""

    name: str
    is_good: bool
    found: str


@dataclass
class Soak:
    """A soak that has come to its end: what was done, and all that was seen."""

    seed: int
    seconds: float
    estate: Estate
    trade: Trade
    strangers: Strangers
    watch: Watch
    happened: list[Happened]


async def wait_until_settled(soak: Soak) -> None:
    """Give the ledger its time: until it equals the chain, everything is final, and every account is proven."""
    deadline = time.monotonic() + soak.estate.pace.end_seconds
    async with asyncio.timeout(soak.estate.pace.end_seconds):
        await soak.trade.market.settled()
    async with open_connection(soak.estate.dsn, application="soak") as connection:
        while time.monotonic() < deadline:
            missing, doubled = await _differences(soak, connection)
            open_ends = await connection.fetchval(
                """
                SELECT (SELECT count(*) FROM transfers WHERE finality = 'confirmed')
                  + (SELECT count(*) FROM token_accounts WHERE drift <> 0 OR gaps > 0 OR audited_slot IS NULL)
                  + (SELECT count(*) FROM payout_attempts WHERE ended_at IS NULL)
                """
            )
            if not (missing or doubled or open_ends):
                return
            await asyncio.sleep(0.5)


async def judge(soak: Soak) -> list[Point]:
    """Every point, good or not."""
    async with open_connection(soak.estate.dsn, application="soak") as connection:
        points = [
            await _ledger(soak, connection),
            _sales(soak),
            await _claims(soak, connection),
            await _jobs(soak, connection),
            *await _reckoning(soak, connection),
        ]
    points += await asyncio.gather(_audit(soak), _doctor(soak))
    points += [_answers(soak), _unavailable(soak), _connections(soak), _processes(soak), _logs(soak), _memory(soak)]
    return points


async def _differences(soak: Soak, connection: asyncpg.Connection) -> tuple[Counter, Counter]:
    """What is on chain and not in the ledger, and the other way round."""
    chain = soak.trade.market.expected()
    ledger = await ledger_transfers(connection, [*soak.trade.market.wallets, soak.estate.settlement])
    # The settlement wallet was given its lamports by the faucet, which is no payer of ours.
    given = (NATIVE_SOL, soak.estate.settlement)
    ledger = Counter({key: count for key, count in ledger.items() if (key[1], key[3]) != given})
    return chain - ledger, ledger - chain


async def _ledger(soak: Soak, connection: asyncpg.Connection) -> Point:
    missing, doubled = await _differences(soak, connection)
    total = soak.trade.market.expected().total()
    lost = [f"not paid: {one}" for one in soak.trade.failed_to_pay]
    found = f"chain {total} transfers, missing {missing.total()}, too many {doubled.total()}"
    is_equal = total > 0 and not (missing or doubled or lost)
    return Point("chain = ledger", is_equal, _with_examples(found, [*missing, *doubled, *lost]))


def _sales(soak: Soak) -> Point:
    sales = soak.trade.sales
    wrong = [f"{sale.proof['nonce']}: {sale.reported} {sale.replays}" for sale in sales if not sale.is_right]
    asked = sum(len(sale.reported) for sale in sales)
    replays = sum(len(sale.replays) for sale in sales)
    found = f"{len(sales)} payments honoured once by {asked} requests, {replays} replays refused, {len(wrong)} wrong"
    return Point("verified exactly once", bool(sales) and not wrong, _with_examples(found, wrong))


async def _claims(soak: Soak, connection: asyncpg.Connection) -> Point:
    # What came for a job and can only go back is taken by a claim that nobody made.
    claims = await connection.fetch(
        "SELECT nonce, signature, path, status::text FROM transactions"
        " WHERE resource IS DISTINCT FROM 'marketplace refund'"
    )
    final = Counter((row["nonce"], row["signature"]) for row in claims if row["status"] == "finalized")
    taken = Counter((row["signature"], row["path"]) for row in claims if row["status"] in {"confirmed", "finalized"})
    sold = [(sale.proof["nonce"], sale.proof["transactionId"]) for sale in soak.trade.sales]
    wrong = [key for key in sold if final[key] != 1]
    doubled = [transfer for transfer, count in taken.items() if count > 1]
    # What strangers claim may be refused with a row, and never honoured.
    honoured = sum(row["status"] in {"confirmed", "finalized", "reversed"} for row in claims)
    extra = honoured - len(sold) - len(soak.trade.jobs)
    found = (
        f"{honoured} claims honoured for {len(sold)} payments and {len(soak.trade.jobs)} jobs, "
        f"{len(wrong)} not final, {len(doubled)} transfers claimed twice"
    )
    return Point("no claim doubled", not (wrong or doubled or extra), _with_examples(found, [*wrong, *doubled]))


async def _reckoning(soak: Soak, connection: asyncpg.Connection) -> list[Point]:
    """What strangers got, and what left the settlement wallet: nothing that nobody had brought."""
    signatures = await connection.fetch("SELECT DISTINCT signature FROM transactions WHERE path IS NOT NULL")
    chain = await read_chain(soak.trade.market.rpc, {row["signature"] for row in signatures}, soak.estate.settlement)
    won = soak.strangers.won
    acts = ", ".join(f"{count} of {name}" for name, count in sorted(soak.strangers.acts.items()))
    return [
        Point("strangers got nothing", not won, _with_examples(f"{acts or 'no acts'}, {len(won)} succeeded", won)),
        await _held("nothing invented was honoured", no_invention_was_honoured(connection, soak.estate.liar.invented)),
        await _held("no claim without a gain", no_claim_without_a_gain(connection, chain)),
        await _held("no more out than in", no_more_out_than_in(connection)),
        await _held(
            "lamports are explained",
            lamports_are_explained(connection, chain, Pubkey.from_string(soak.estate.settlement)),
        ),
    ]


async def _held(name: str, check: Awaitable[Any]) -> Point:
    try:
        found = await check
    except AssertionError as error:
        return Point(name, is_good=False, found=str(error)[:300])
    return Point(name, is_good=True, found=", ".join(f"{what} {n}" for what, n in (found or {}).items()) or "true")


async def _jobs(soak: Soak, connection: asyncpg.Connection) -> Point:
    jobs = soak.trade.jobs
    open_jobs = [f"{job}: {state}" for job, state in jobs.items() if state != "approved, released"]
    account = str(token_account(soak.trade.provider_wallet.pubkey(), USDC))
    answer = await soak.trade.market.rpc.call("getMultipleAccounts", [[account], {"encoding": "base64"}], Any)
    held = answer["value"][0]
    paid = int.from_bytes(base64.b64decode(held["data"][0])[64:72], "little") if held else 0
    due = len(jobs) * JOB_PRICE
    # Strangers' dust waits to go back beside them.
    payouts = await connection.fetchval("SELECT count(*) FROM payouts WHERE job_id::text = ANY($1::text[])", list(jobs))
    found = f"{len(jobs)} ordered, {len(open_jobs)} open, {payouts} payouts, {paid} of {due} base units paid out"
    is_once = bool(jobs) and not open_jobs and paid == due and payouts == len(jobs)
    return Point("jobs paid out once", is_once, _with_examples(found, open_jobs))


async def _audit(soak: Soak) -> Point:
    code, out, err = await _command(soak.estate, "audit", "--whole", "--json")
    report = json.loads(out) if out else {}
    found = f"{report.get('accounts')} accounts, {len(report.get('findings', []))} disagree"
    is_proven = code == 0 and bool(report.get("accounts"))
    return Point("pay402 audit --whole", is_proven, _with_examples(found, [err[-300:]] if code else []))


async def _doctor(soak: Soak) -> Point:
    code, out, err = await _command(soak.estate, "doctor", "--json")
    findings = json.loads(out)["findings"] if out else []
    bad = [f"{one['part']} {one['check']}: {one['detail']}" for one in findings if one["verdict"] == "failure"]
    found = f"{len(findings)} findings, {len(bad)} failures"
    return Point("pay402 doctor", code == 0, _with_examples(found, bad or ([err[-300:]] if code else [])))


def _answers(soak: Soak) -> Point:
    answers = soak.trade.books.answers
    wrong = [one for one in answers if one.status not in _EXPECTED_STATUSES | {_UNAVAILABLE}]
    found = f"{len(answers)} answers, {len(wrong)} of a status that no caller here should see"
    return Point("no 5xx but 503", bool(answers) and not wrong, _with_examples(found, wrong))


def _unavailable(soak: Soak) -> Point:
    away = [one for one in soak.trade.books.answers if one.status == _UNAVAILABLE]
    grace = soak.estate.pace.grace_seconds
    wrong = [one for one in away if not within(one.at, POSTGRES_FAULTS, soak.happened, grace)]
    found = f"{len(away)} answers of 503, {len(wrong)} unexplained"
    return Point("503 only without Postgres", not wrong, _with_examples(found, wrong))


def _connections(soak: Soak) -> Point:
    cut = soak.trade.books.cut
    grace = soak.estate.pace.grace_seconds
    wrong = [at for at in cut if not within(at, _API_AWAY, soak.happened, grace)]
    return Point("refused only without the API", not wrong, f"{len(cut)} connections failed, {len(wrong)} unexplained")


def _processes(soak: Soak) -> Point:
    expected = {int(signal.SIGKILL): -signal.SIGKILL, int(signal.SIGTERM): 0}
    ended, children = soak.estate.ended, soak.estate.children
    wrong = [f"{role} by signal {number}: {code}" for role, number, code in ended if code != expected[number]]
    wrong += [f"{role} ended by itself" for role in ROLES if children[role].process.returncode is not None]
    killed = sum(number == signal.SIGKILL for _, number, _ in ended)
    found = f"{killed} killed, {len(ended) - killed} stopped, {len(wrong)} ended otherwise"
    return Point("ends as it is told", not wrong, _with_examples(found, wrong))


def _logs(soak: Soak) -> Point:
    wrong = unexplained(soak)
    found = f"{len(list(spoken(soak.estate)))} warnings and errors, {len(wrong)} that no fault explains"
    return Point(
        "no error unexplained", not wrong, _with_examples(found, [f"{one.who}: {one.line[:300]}" for one in wrong])
    )


def unexplained(soak: Soak) -> list[Said]:
    """Every warning and error that is no consequence of what was done to the parts."""
    grace = soak.estate.pace.grace_seconds
    return [said for said in spoken(soak.estate) if not is_explained(said, soak.happened, grace)]


def _memory(soak: Soak) -> Point:
    lives = [life for life in soak.watch.lives.values() if life.is_long]
    wrong = [f"{life.role}: {life.megabytes_an_hour:+.0f} MB/h" for life in lives if not life.is_flat]
    found = f"{len(lives)} processes lived for long, {len(wrong)} grow"
    return Point("memory flat", not wrong, _with_examples(found, wrong))


def _with_examples(found: str, examples: Any) -> str:
    return "; ".join([found, *(str(one) for one in list(examples)[:_SHOWN])])


async def _command(estate: Estate, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *arguments, env=command_environment(estate),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()
