"""Pending claims, as `/verify` leaves them."""

import datetime as dt
import uuid

from localnet.payments import USDC

AMOUNT = 1_000


async def claim(shop, signature, *, user="merchant", payer=None, amount=AMOUNT, nonce=None, age_seconds=60, **columns):
    """A pending claim, as `/verify` leaves it when the payment is not there yet."""
    values = {
        "user_id": user, "nonce": nonce or uuid.uuid4().hex, "signature": signature,
        "payer": payer or str(shop.client.pubkey()), "mint": str(USDC), "currency": "USDC", "amount": amount,
        "least_amount": amount, "timestamp": dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_seconds), **columns,
    }  # fmt: skip
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    made = await shop.pool.fetchval(
        f"INSERT INTO transactions ({names}) VALUES ({marks}) RETURNING id", *values.values()
    )
    await shop.pool.execute("INSERT INTO events (type, subject) VALUES ('claim.pending', $1)", str(made))
    return made
