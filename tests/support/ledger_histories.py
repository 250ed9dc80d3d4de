"""Random histories of a ledger: whatever can happen to transfers, claims, requests, wallets and tokens."""

import datetime as dt
import itertools

import asyncpg

from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from tests.support.small_ledger import TOKEN_PROGRAM, USDC, USDT, address, new_signature

MINTS = (USDC, USDT, NATIVE_SOL, WRAPPED_SOL_MINT)
AMOUNTS = (1, 999_999, 1_000_000, 1_000_001, 2**63)
KINDS = (*["transfer", "transferChecked", "nativeTransfer"] * 2, "mintTo", "withdrawWithheld")
# Some are recipients from the beginning, some later, some never.
WALLETS = tuple(address(seed) for seed in range(60, 68))
USERS = ("one", "two", "three")
PLACES = {"confirmed": ["finalized", "orphaned"], "orphaned": ["confirmed"], "finalized": ["orphaned"]}
STEPS = {"pending": ["failed", "expired"], "confirmed": ["finalized", "reversed"], "reversed": ["confirmed", "failed"]}
# What a step may meet: a rule of the schema, or somebody else who holds the row.
REFUSALS = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
)

TRANSFER = """
INSERT INTO transfers AS t (signature, path, slot, block_time, notified_at, kind, program, mint, source, destination,
  source_owner, destination_owner, amount, fee, reference_keys, memos, finality, awaits_witness_since)
SELECT m.signature, m.path, m.slot, m.block_time, m.notified_at, m.kind, $1, m.mint, m.source, m.destination,
  m.source_owner, m.destination_owner, m.amount, m.fee, m.reference_keys, m.memos, m.finality::finality,
  CASE WHEN m.slot % 5 = 0 AND m.finality = 'confirmed' THEN now() END
FROM json_to_recordset($2) AS m (signature text, path text, slot bigint, block_time timestamptz,
  notified_at timestamptz, kind text, mint text, source text, destination text, source_owner text,
  destination_owner text, amount numeric, fee numeric, reference_keys text[], memos text[], finality text)
ON CONFLICT (signature, path) DO UPDATE SET slot = EXCLUDED.slot, block_time = EXCLUDED.block_time,
  kind = EXCLUDED.kind, mint = EXCLUDED.mint, source_owner = EXCLUDED.source_owner,
  destination_owner = EXCLUDED.destination_owner, amount = EXCLUDED.amount, fee = EXCLUDED.fee,
  reference_keys = EXCLUDED.reference_keys, memos = EXCLUDED.memos, finality = 'confirmed',
  awaits_witness_since = EXCLUDED.awaits_witness_since
"""
CLAIM = """
INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount, least_amount,
  received, status, honoured_at, for_request)
SELECT $1, $2, t.signature, CASE WHEN $4 THEN t.path END, $5, t.destination_owner, t.mint, 'USDC', $6, 1,
  CASE WHEN $4 THEN t.amount - t.fee END, CASE WHEN $4 THEN $7 ELSE 'pending' END::claim_status, now(),
  EXISTS (SELECT FROM nonces AS n WHERE n.nonce = $2 AND n.user_id = $1)
FROM transfers AS t WHERE t.signature = $3 LIMIT $8
"""


class LedgerHistory:
    """Takes random steps on a ledger by the numbers of `chance`."""

    def __init__(self, chance):
        self.chance = chance
        self.numbers = itertools.count(1)
        self.steps = [
            *[self.record] * 8, *[self.land_again] * 2, *[self.move_transfers] * 3, *[self.ask] * 3,
            self.change_request, self.remove_request, *[self.claim] * 5, *[self.move_claims] * 4, self.honour,
            self.change_claim, self.remove_claim, self.name_token, self.follow, self.hand_over, self.unfollow,
            self.remove_transfer, self.abandon_wallet,
        ]  # fmt: skip

    async def step(self, connection):
        """One thing happens, unless the schema or somebody else forbids it; returns its name."""
        what = self.chance.choice(self.steps)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '20ms'")
                await what(connection)
        except REFUSALS:
            return f"{what.__name__} (refused)"
        return what.__name__

    async def one_of(self, connection, columns, table, where="true", *values):
        # Not by the database's chance: a seed is to be the same history whenever it is run.
        rows = await connection.fetch(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY 1", *values)
        return self.chance.choice(rows) if rows else None

    async def names(self, connection):
        """What a transfer names: requests that exist, or will, or never do; and the wallet of one of them."""
        reference_keys, memos, wallet = [], [], None
        for _ in range(self.chance.choice([0, 1, 1, 2])):
            row = await self.one_of(connection, "nonce, reference, recipient", "nonces")
            wallet = row["recipient"] if row else wallet
            if row and self.chance.random() < 0.6:
                reference_keys.append(row["reference"])
            elif row and self.chance.random() < 0.5:
                memos.append(row["nonce"])
            else:
                memos.append(f"later-{self.chance.randrange(6)}")
        return reference_keys, memos, wallet

    async def transfer(self, connection, signature, path):
        reference_keys, memos, wallet = await self.names(connection)
        source, destination = self.chance.sample(WALLETS, 2)
        if wallet and self.chance.random() < 0.9:
            destination = wallet
        if self.chance.random() < 0.15:
            source = destination
        now = dt.datetime.now(dt.UTC)
        amount = self.chance.choice(AMOUNTS)
        return {
            "signature": signature, "path": path, "slot": self.chance.randrange(1, 30),
            "block_time": self.chance.choice([None, (now - dt.timedelta(days=self.chance.randrange(3))).isoformat()]),
            "notified_at": self.chance.choice([None, now.isoformat()]),
            "kind": self.chance.choice(KINDS), "mint": self.chance.choice(MINTS), "source": address(1),
            "destination": address(2), "source_owner": self.chance.choice([None, source]),
            "destination_owner": self.chance.choice([destination] * 9 + [None]), "amount": str(amount),
            "fee": str(self.chance.choice([0, 0, 0, 1])), "reference_keys": reference_keys, "memos": memos,
            "finality": self.chance.choice(["confirmed"] * 6 + ["finalized", "orphaned"]),
        }  # fmt: skip

    async def record(self, connection):
        signatures = [new_signature() for _ in range(self.chance.choice([1, 1, 3]))]
        rows = [
            await self.transfer(connection, signature, str(path))
            for signature in signatures
            for path in range(self.chance.choice([1, 1, 2]))
        ]
        await connection.execute(TRANSFER, TOKEN_PROGRAM, rows)

    async def land_again(self, connection):
        if row := await self.one_of(connection, "signature, path", "transfers"):
            again = await self.transfer(connection, row["signature"], row["path"])
            fresh = await self.transfer(connection, new_signature(), "0")
            await connection.execute(TRANSFER, TOKEN_PROGRAM, [again, fresh])

    async def move_transfers(self, connection):
        if row := await self.one_of(connection, "signature, slot, finality::text", "transfers"):
            await connection.execute(
                "UPDATE transfers SET finality = $3::finality, awaits_witness_since = NULL"
                " WHERE finality = $4::finality AND (signature = $1 OR slot = $2)",
                row["signature"], self.chance.choice([row["slot"], -1]),
                self.chance.choice(PLACES[row["finality"]]), row["finality"],
            )  # fmt: skip

    async def remove_transfer(self, connection):
        if row := await self.one_of(connection, "signature", "transfers"):
            await connection.execute("DELETE FROM transfers WHERE signature = $1", row["signature"])

    async def ask(self, connection):
        row = await self.one_of(connection, "address, user_id", "recipients")
        for n in range(self.chance.choice([1, 2])):
            nonce = self.chance.choice([f"asked-{next(self.numbers)}-{n}", f"later-{self.chance.randrange(6)}"])
            await connection.execute(
                "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)"
                " VALUES ($1, $2, $3, $4, 'USDC', $5, $6, $7)",
                nonce, row["user_id"], row["address"], self.chance.choice(MINTS), self.chance.choice(AMOUNTS),
                address(100 + next(self.numbers) % 100),
                dt.datetime.now(dt.UTC) + self.chance.choice([-1, 1]) * dt.timedelta(days=1),
            )  # fmt: skip

    async def change_request(self, connection):
        if row := await self.one_of(connection, "nonce", "nonces"):
            change = self.chance.choice(
                ["amount = 1000000", "expires_at = now() - interval '1 hour'", "expired_at = now()", "user_id = 'two'",
                 f"reference = '{address(100 + next(self.numbers) % 100)}'", "nonce = nonce || 'x'", f"mint = '{USDT}'"]
            )  # fmt: skip
            await connection.execute(f"UPDATE nonces SET {change} WHERE nonce = $1", row["nonce"])

    async def remove_request(self, connection):
        some = [row["nonce"] for row in await connection.fetch("SELECT nonce FROM nonces ORDER BY 1")]
        await connection.execute(
            "DELETE FROM nonces WHERE nonce = ANY($1)", self.chance.sample(some, min(len(some), 2))
        )

    async def claim(self, connection):
        transfer = await self.one_of(connection, "signature, reference_keys, memos", "transfers")
        request = transfer and await self.one_of(
            connection, "nonce, user_id", "nonces",
            "reference = ANY($1::text[]) OR nonce = ANY($2::text[])", transfer["reference_keys"], transfer["memos"],
        )  # fmt: skip
        if transfer is None:
            return
        nonce, user = f"own-{next(self.numbers)}", self.chance.choice(USERS)
        if request and self.chance.random() < 0.7:
            nonce, user = request
        await connection.execute(
            CLAIM, user, nonce, transfer["signature"], self.chance.random() < 0.7, self.chance.choice(WALLETS),
            self.chance.choice(AMOUNTS), self.chance.choice(["confirmed", "finalized"]), self.chance.choice([1, 2]),
        )  # fmt: skip

    async def honour(self, connection):
        if row := await self.one_of(connection, "nonce, id", "transactions", "status = 'pending'"):
            await connection.execute(
                "UPDATE transactions AS c SET status = 'confirmed', path = t.path, received = t.amount - t.fee,"
                " recipient = t.destination_owner, mint = t.mint, least_amount = 1"
                " FROM transfers AS t WHERE t.signature = c.signature AND c.id = $1",
                row["id"],
            )

    async def move_claims(self, connection):
        if row := await self.one_of(connection, "nonce, id, status::text", "transactions"):
            status = self.chance.choice(STEPS.get(row["status"], [row["status"]]))
            code = self.chance.choice(["INSUFFICIENT_AMOUNT", "TRANSACTION_FAILED"])
            both = self.chance.random() < 0.3
            await connection.execute(
                "UPDATE transactions SET status = $2::claim_status,"
                " code = CASE WHEN $2 IN ('failed', 'expired') THEN coalesce(code, $3) END"
                " WHERE (id = $1 OR ($4 AND status::text = $5)) AND NOT ($2 = 'confirmed' AND path IS NULL)",
                row["id"], status, code, both, row["status"],
            )  # fmt: skip

    async def change_claim(self, connection):
        if row := await self.one_of(connection, "nonce, id", "transactions"):
            change = self.chance.choice(
                ["nonce = nonce || 'x'", "user_id = 'three'", "amount = 1000000", f"mint = '{USDT}'", "agent_id = 'a'",
                 "received = received + 1"]
            )  # fmt: skip
            await connection.execute(f"UPDATE transactions SET {change} WHERE id = $1", row["id"])

    async def remove_claim(self, connection):
        if row := await self.one_of(connection, "nonce, id", "transactions"):
            await connection.execute("DELETE FROM transactions WHERE id = $1", row["id"])

    async def name_token(self, connection):
        await connection.execute(
            "INSERT INTO tokens (mint, program, decimals, symbol) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (mint) DO UPDATE SET decimals = EXCLUDED.decimals, symbol = EXCLUDED.symbol",
            self.chance.choice(MINTS), TOKEN_PROGRAM, self.chance.randrange(9), self.chance.choice([None, "T", "U"]),
        )  # fmt: skip

    async def follow(self, connection):
        await connection.execute(
            "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, $2, 0)"
            " ON CONFLICT (address) DO UPDATE SET active = true, removed_at = NULL",
            self.chance.choice(WALLETS[:-1]), self.chance.choice(USERS),
        )  # fmt: skip

    async def hand_over(self, connection):
        if row := await self.one_of(connection, "address", "recipients"):
            user = self.chance.choice(USERS)
            if row["address"] == WALLETS[0]:
                return  # what names the requests of one wallet is found all along
            await connection.execute(
                "WITH former AS (INSERT INTO former_recipients (address, user_id, owned_since, owned_until)"
                " SELECT address, user_id, owned_since, now() - $3 * interval '1 day' FROM recipients"
                " WHERE address = $1)"
                " UPDATE recipients SET user_id = $2, owned_since = now() - $3 * interval '1 day' WHERE address = $1",
                row["address"], user, USERS.index(user),
            )  # fmt: skip

    async def unfollow(self, connection):
        if row := await self.one_of(connection, "address", "recipients"):
            await connection.execute(
                "UPDATE recipients SET active = false, removed_at = now() WHERE address = $1", row["address"]
            )

    async def abandon_wallet(self, connection):
        """By SQL only, and only where no request names it: an operator's mistake."""
        if row := await self.one_of(connection, "address", "recipients", f"address <> '{WALLETS[0]}'"):
            await connection.execute("DELETE FROM recipients WHERE address = $1", row["address"])
