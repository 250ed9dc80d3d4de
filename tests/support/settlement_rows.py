"""Payments over x402 in a small ledger: reserved without a chain, with transfers written as the indexer writes them."""

import hashlib
import itertools

from ledger.settlements import FeeBudgets, SignedPayment, reserve
from tests.support.small_ledger import TOKEN_PROGRAM, USDC, address, new_signature

_numbers = itertools.count(1)

LAMPORTS = 10_001
AMPLE = FeeBudgets(10**12, 10**12, 10**12)
PAYER, FEE_PAYER = address(200), address(201)


def signed_payment(merchant, amount=1_000, **changes):
    """A payment to `merchant` that nobody has sent."""
    number = next(_numbers)
    fields = {
        "message_hash": hashlib.sha256(b"message %d" % number).digest(),
        "user_id": merchant.user,
        "environment": "live",
        "protocol_version": 2,
        "network": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
        "payer": PAYER,
        "fee_payer": FEE_PAYER,
        "pay_to": merchant.wallet,
        "mint": USDC,
        "destination": merchant.wallet,
        "amount": amount,
        "memo": None,
        # As a seller has it who requires a memo.
        "required_memo": changes.get("memo"),
        "resource": "https://shop.example/report",
        "final_only": False,
        "signature": new_signature(),
        "wire": b"signed bytes %d" % number,
        "last_valid_block_height": 150,
        "payment_identifier": None,
        "payload_hash": hashlib.sha256(b"payload %d" % number).digest(),
        "lamports": LAMPORTS,
    }
    return SignedPayment(**{**fields, **changes})


async def reserved(pool, merchant, amount=1_000, budgets=AMPLE, **changes):
    """A reserved payment and its id."""
    payment = signed_payment(merchant, amount, **changes)
    found = await reserve(pool, payment, budgets)
    assert found is not None
    return payment, found.id


async def land(connection, payment, *, path="2", finality="confirmed", **changes):
    """The transfer of a payment, as the indexer records it."""
    fields = {
        "signature": payment.signature,
        "path": path,
        "slot": 7,
        "kind": "transferChecked",
        "program": TOKEN_PROGRAM,
        "mint": payment.mint,
        "source": payment.payer,
        "destination": payment.destination,
        "source_owner": payment.payer,
        "destination_owner": payment.pay_to,
        "authority": payment.payer,
        "amount": payment.amount,
        "finality": finality,
        **changes,
    }
    places = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
    await connection.execute(f"INSERT INTO transfers ({', '.join(fields)}) VALUES ({places})", *fields.values())


async def give_back(connection, signature):
    """Give a payment back, landed or not, and note that of its transfer as whoever decides its finding does."""
    back = new_signature()
    await connection.execute(
        """
        WITH back AS (
          INSERT INTO transfers (
            signature, path, slot, kind, program, mint, source, destination, source_owner, destination_owner, authority,
            amount, finality
          )
          SELECT $2, '0', 7, 'transferChecked', $3, mint, destination, payer, pay_to, payer, pay_to, amount, 'finalized'
          FROM settlements WHERE signature = $1
        )
        INSERT INTO finding_decisions (
          finding_id, kind, user_id, signature, path, action, decided_by, refund_signature, refund_path, refund_amount
        )
        SELECT md5(signature), 'unmatchedTransfer', user_id, signature, '2', 'refunded', user_id, $2, '0', amount
        FROM settlements WHERE signature = $1
        """,
        signature, back, TOKEN_PROGRAM,
    )  # fmt: skip
