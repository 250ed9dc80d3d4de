"""Reference keys are public once they are used, so they must be nobody's to guess before."""

import datetime as dt
import secrets

from chain.base58 import b58decode
from chain.references import fresh_reference
from ledger import payment_requests as requests
from tests.support.small_ledger import USDC, add_merchant


async def made(pool, merchant):
    terms = {"recipient": merchant.wallet, "mint": USDC, "currency": "USDC", "amount": 5, "resource": None}
    return await requests.create_request(
        pool, user_id=merchant.user, expires_at=dt.datetime.now(dt.UTC), reference=fresh_reference(), **terms
    )


async def test_references_and_nonces_never_repeat(pool):
    merchant = await add_merchant(pool, "shop", 1)
    rows = [await made(pool, merchant) for _ in range(50)]
    assert len({row.reference for row in rows}) == len({row.nonce for row in rows}) == len(rows)
    assert {len(b58decode(row.reference)) for row in rows} == {32}


async def test_they_are_of_the_operating_systems_randomness(pool, monkeypatch):
    """All 32 bytes of a reference are what the system's generator gave, with nothing of time or order in them."""
    given = []

    def watched(count):
        given.append(random_bytes(count))
        return given[-1]

    random_bytes = secrets.token_bytes
    monkeypatch.setattr(secrets, "token_bytes", watched)
    row = await made(pool, await add_merchant(pool, "shop", 1))
    assert b58decode(row.reference) in given
