"""The published packages of x402, in Python and JavaScript, buy unmodified here, with a wallet that holds no SOL."""

import pytest
from solders.keypair import Keypair

from tests.clients.conftest import EXAMPLES, PROGRAMS
from tests.support.api_client import key_for
from tests.support.wallets import SOL

PRICE = 10_000
# Two signatures, and 20,000 compute units at a millionth of a lamport each.
FEE_LAMPORTS = 10_001


async def test_what_the_published_client_builds_is_valid_in_both_versions(clients, parties):
    buyer = clients.keypair_file(parties.buyer)
    verdicts = await clients.run(PROGRAMS / "verify_payment.py", buyer, parties.shop)
    valid = {"isValid": True, "payer": str(parties.buyer.pubkey())}
    assert verdicts == {"1": valid, "2": valid}


async def sol_of(parties, wallet):
    answer = await parties.call("getBalance", str(wallet), {"commitment": "processed"})
    return answer["value"]


SHOPS = {
    "FastAPI": EXAMPLES / "x402_shop.py",
    "Flask": PROGRAMS / "flask_shop.py",
    "version 1": PROGRAMS / "version_1_shop.py",
}
BUYERS = {"httpx": EXAMPLES / "x402_buyer.py", "requests": PROGRAMS / "requests_buyer.py",
          "fetch": PROGRAMS / "fetch_buyer.cjs"}  # fmt: skip


@pytest.mark.parametrize("shop", SHOPS)
async def test_published_clients_buy_from_published_shops_with_a_wallet_that_holds_no_sol(clients, parties, pool, shop):
    buyer = clients.keypair_file(parties.buyer)
    paid = 0
    async with clients.serving(SHOPS[shop], parties.shop) as url:
        for program in BUYERS.values():
            bought = await clients.run(program, buyer, f"{url}/report")
            paid += PRICE
            assert (bought["status"], bought["body"]) == (200, {"report": "worth 0.01 USDC"}), bought
            settlement = bought["settlement"]
            assert (settlement["success"], settlement["payer"]) == (True, str(parties.buyer.pubkey()))
            # It is in the ledger before the shop's answer has gone out, and may be final when the buyer's program ends.
            claim = await pool.fetchrow("SELECT * FROM transactions WHERE signature = $1", settlement["transaction"])
            assert claim["status"] in {"confirmed", "finalized"}
            assert (claim["payer"], claim["received"]) == (settlement["payer"], PRICE)
    received = await pool.fetchval("SELECT sum(received) FROM transactions WHERE recipient = $1", str(parties.shop))
    assert received == paid
    assert await sol_of(parties, parties.buyer.pubkey()) == 0
    assert await sol_of(parties, parties.fee_payer.pubkey()) == SOL - len(BUYERS) * FEE_LAMPORTS


async def test_a_shop_with_an_api_key_sells_for_its_own_wallets_only(clients, parties, pool):
    buyer = clients.keypair_file(parties.buyer)
    for user, status in (("merchant", 200), ("stranger", 402)):
        key = await key_for(pool, user)
        async with clients.serving(SHOPS["FastAPI"], parties.shop, X402_API_KEY=key) as url:
            assert (await clients.run(BUYERS["httpx"], buyer, f"{url}/report"))["status"] == status
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 1


async def test_a_wallet_without_the_money_gets_nothing_and_costs_nothing(clients, parties, pool):
    poor = Keypair()
    await parties.fund(poor.pubkey(), PRICE - 1)
    async with clients.serving(SHOPS["FastAPI"], parties.shop) as url:
        bought = await clients.run(BUYERS["httpx"], clients.keypair_file(poor), f"{url}/report")
    assert (bought["status"], bought["settlement"]) == (402, None)
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 0
    assert await sol_of(parties, parties.fee_payer.pubkey()) == SOL
