"""Buyers who claim what they paid, at an API and a worker that come and go: what the chaos holds against the ledger."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp
import asyncpg

from ledger.invariants import check_invariants
from ledger.states import CLAIM_STEPS, NEW, ClaimStatus
from localnet.payments import USDC
from tests.support.api_client import Client, key_for, proof_of
from tests.support.api_processes import UNLIMITED, ApiProcess
from tests.support.job_shop import FAST, secret

HONOURED = ("confirmed", "finalized")
# Nothing more will come of these answers.
FINAL = {"VALID", "REPLAY_ATTACK", "TRANSACTION_FAILED", "RECIPIENT_MISMATCH", "CURRENCY_MISMATCH", "PAYER_MISMATCH"}


@dataclass
class WorkerProcess:
    """`pay402 worker` as an operator runs it, to be killed at any moment."""

    environment: dict[str, str]
    log: object
    process: asyncio.subprocess.Process | None = None

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "worker", "--json",
            env={"PATH": os.environ["PATH"], **{name: str(value) for name, value in FAST.items()}, **self.environment},
            stdout=asyncio.subprocess.DEVNULL, stderr=self.log,
        )  # fmt: skip

    async def stop(self, number=signal.SIGTERM):
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            async with asyncio.timeout(40):
                await self.process.wait()


@dataclass(repr=False)
class Claimants:
    """All who ask, what they were told, and the processes they ask."""

    pool: asyncpg.Pool
    market: object
    api: ApiProcess
    worker: WorkerProcess
    http: aiohttp.ClientSession
    key: str
    proofs: dict[str, dict] = field(default_factory=dict)
    reported: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    _asking: set[asyncio.Task] = field(default_factory=set)

    def claim(self, dice: random.Random, sent, payer) -> None:
        """Claim a payment with up to three nonces, some of them by several requests at once."""
        for n in range(dice.randint(1, 3)):
            nonce = f"{sent.signature[:16]} {n}"
            self.proofs[nonce] = proof_of(payer, sent.signature, "0.0001", nonce=nonce)
            for _ in range(dice.choice((1, 1, 3))):
                asking = asyncio.create_task(self._ask(nonce))
                self._asking.add(asking)
                asking.add_done_callback(self._asking.discard)

    async def _ask(self, nonce) -> str:
        """One request, whose answer may be lost."""
        try:
            reply = await Client(self.api.url, self.http, self.key).verify(self.proofs[nonce])
        except (aiohttp.ClientError, TimeoutError):
            return "LOST"
        assert reply.status < 500 or reply.status == 503, reply.text
        self.reported[nonce][reply.code] += 1
        return reply.code

    async def kill(self, process, number) -> None:
        await process.stop(number)
        await process.start()

    async def judged(self, landed) -> dict[str, int]:
        """Ask until nothing is left open of what is on the chain, and hold every answer and claim against it.

        `landed` are the signatures that are on the chain and did not fail; the ledger is known to have all of them.
        Returns how many claims there were, and what became of some.
        """
        if self.worker.process.returncode is not None:
            # Begun while Postgres was away, it said so and ended: whatever supervises it begins it again.
            await self.worker.start()
        if self._asking:
            await asyncio.wait(self._asking)
        for nonce, proof in self.proofs.items():
            if proof["transactionId"] in landed:
                await self._answered(nonce)
        await self._claims_follow()
        await self._as_many_as_were_paid(landed)
        twice = {nonce: codes for nonce, codes in self.reported.items() if codes["VALID"] > 1}
        assert not twice, f"honoured twice: {twice}"
        assert await check_invariants(self.pool) == []
        await self._no_event_is_doubled()
        counted = {
            "claims": "SELECT count(*) FROM transactions",
            "honoured": "SELECT count(*) FROM transactions WHERE status = 'finalized'",
            "reversals": "SELECT count(*) FROM events WHERE type = 'claim.reversed'",
        }
        return {what: await self.pool.fetchval(query) for what, query in counted.items()}

    async def _answered(self, nonce) -> None:
        deadline = time.monotonic() + 60
        while not FINAL & set(self.reported[nonce]):
            if time.monotonic() > deadline:
                raise AssertionError(f"never answered for good: {self.proofs[nonce]}, {dict(self.reported[nonce])}")
            await self._ask(nonce)
            await asyncio.sleep(0.1)

    async def _claims_follow(self) -> None:
        """Until no claim waits for the worker: what landed is finalized, and nothing that did not is honoured."""
        deadline = time.monotonic() + 60
        while waiting := await self.pool.fetch(
            "SELECT c.nonce, c.status, c.code, c.answered_at, t.finality FROM transactions AS c"
            " LEFT JOIN transfers AS t USING (signature, path)"
            " WHERE c.status = 'confirmed' OR c.status = 'finalized' AND t.finality IS DISTINCT FROM 'finalized'"
            " OR c.status = 'reversed' AND t.finality <> 'orphaned'"
            # Pending is only what the chain does not have.
            " OR c.status = 'pending' AND EXISTS (SELECT FROM transfers AS o"
            " WHERE o.signature = c.signature AND o.finality <> 'orphaned')"
        ):
            if time.monotonic() > deadline:
                raise AssertionError(f"claims that wait for ever: {list(map(dict, waiting))}")
            await asyncio.sleep(0.2)

    async def _as_many_as_were_paid(self, landed) -> None:
        """Of each transaction as many claims are honoured as it has transfers of its payer, or as were asked for."""
        asked = Counter(proof["transactionId"] for proof in self.proofs.values())
        payers = {proof["transactionId"]: proof["payer"] for proof in self.proofs.values()}
        honoured = Counter(
            row["signature"]
            for row in await self.pool.fetch(
                "SELECT signature FROM transactions WHERE status::text = ANY($1::text[])", HONOURED
            )
        )
        for signature, nonces in asked.items():
            paid = await self.pool.fetchval(
                "SELECT count(*) FROM transfers WHERE signature = $1 AND finality = 'finalized' AND mint = $2"
                " AND destination_owner = ANY($3::text[]) AND $4 IN (source_owner, authority)",
                signature, str(USDC), self.market.wallets, payers[signature],
            )  # fmt: skip
            assert paid == 0 or signature in landed
            assert honoured[signature] == min(paid, nonces), f"{signature}: {honoured[signature]} of {paid}, {nonces}"

    async def _no_event_is_doubled(self) -> None:
        """The events of each claim are one way through its statuses, which ends where it stands."""
        # At one moment, for the worker may still take what came for a job.
        async with self.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            rows = await connection.fetch(
                "SELECT subject, type FROM events WHERE type = ANY($1::text[]) ORDER BY id",
                [f"claim.{status}" for status in ClaimStatus],
            )
            claims = await connection.fetch("SELECT id, status FROM transactions")
        ways = defaultdict(list)
        for row in rows:
            ways[row["subject"]].append(row["type"].removeprefix("claim."))
        stands = {str(row["id"]): row["status"] for row in claims}
        assert set(ways) == set(stands)
        for claim, way in ways.items():
            assert all(after in CLAIM_STEPS.get(before, ()) for before, after in pairwise([NEW, *way])), (claim, way)
            assert way[-1] == stands[claim], (claim, way, stands[claim])


@contextlib.asynccontextmanager
async def claimants(market, pool, database_url, redis_url, nodes, directory, settlement):
    """An API process and a worker on the ledger, which signs payouts of `settlement`, and a key of the merchant."""
    rpc = ",".join(node.rpc_url for node in nodes)
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SOLANA_RPC_URL": rpc}
    patient = {"WORKER_EXPIRE_SECONDS": "5", "SETTLEMENT_KEYPAIR": secret(settlement)}
    with (directory / "worker.log").open("ab") as log:
        worker = WorkerProcess({**environment, **patient}, log)
        api = ApiProcess({**environment, **UNLIMITED, "VERIFY_WAIT_MS": "500"}, directory / "api.log")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as http:
            try:
                await asyncio.gather(worker.start(), api.start())
                yield Claimants(pool, market, api, worker, http, await key_for(pool))
            finally:
                await asyncio.gather(worker.stop(), api.stop())
