"""The mints that the ledger knows from the beginning are the ones of their issuers, to the letter."""

import pytest

TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
SYSTEM = "1" * 32
MINTS = [
    ("mainnet-beta", "USDC", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", TOKEN, 6),
    ("mainnet-beta", "USDT", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", TOKEN, 6),
    ("mainnet-beta", "PYUSD", "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo", TOKEN_2022, 6),
    ("devnet", "USDC", "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", TOKEN, 6),
    ("devnet", "USDT", "EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS", TOKEN, 6),
    ("devnet", "PYUSD", "CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM", TOKEN_2022, 6),
    (None, "SOL", "So11111111111111111111111111111111111111112", TOKEN, 9),
    (None, "SOL", SYSTEM, SYSTEM, 9),
]


@pytest.mark.parametrize("mint", MINTS, ids=lambda mint: f"{mint[1]} {mint[0]} {mint[2][:4]}")
async def test_a_mint_is_its_issuers(pool, mint):
    row = await pool.fetchrow("SELECT network, symbol, mint, program, decimals FROM tokens WHERE mint = $1", mint[2])
    assert tuple(row) == mint


async def test_there_are_no_others(pool):
    assert await pool.fetchval("SELECT count(*) FROM tokens") == len(MINTS)
