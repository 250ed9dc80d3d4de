"""What the fee payers hold, on the page of settlements: for an admin, never for a merchant, and nothing without any."""

import re

import pytest
from solders.keypair import Keypair

from tests.support.api_client import key_for, running_api
from tests.support.console_browser import signed_in
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE
from tests.support.x402_parties import open_parties

HERE = "/console/x402"


async def browsers(api, pool):
    """A merchant's browser and an admin's."""
    admin = await key_for(pool, "operations", ("read", "write", "admin"))
    return await signed_in(api, await key_for(pool)), await signed_in(api, admin)


@pytest.mark.parametrize("is_low", [False, True], ids=["enough", "low"])
async def test_an_admin_sees_what_fee_payers_hold_and_a_merchant_does_not(net, pool, database_url, redis_url, is_low):
    parties = await open_parties(net, pool)
    address = str(parties.fee_payer.pubkey())
    low = 2_000_000_000 if is_low else 1
    settings = {**parties.settings, "X402_LOW_LAMPORTS": low}
    async with running_api(database_url, redis_url, [net.rpc_url], **settings) as api:
        merchant, admin = await browsers(api, pool)

        async def is_shown():
            seen = await admin.get(HERE)
            return seen if re.search(rf"Fee payer {address}\W.*holds 1 SOL", seen.text) else None

        seen = await eventually(is_shown)
        assert ("Send it SOL" in seen.text) == is_low
        assert "No fee payer is set" not in seen.text
        own = await merchant.get(HERE)
        assert own.status == 200
        for hidden in (address, "Send it SOL", "Fee payer "):
            assert hidden not in own.text, hidden


async def test_before_a_node_has_answered_no_balance_is_shown(pool, database_url, redis_url):
    keypair = Keypair()
    async with running_api(database_url, redis_url, [NO_NODE], X402_FEE_PAYER_KEYPAIR=str(keypair)) as api:
        for browser in await browsers(api, pool):
            seen = await browser.get(HERE)
            assert seen.status == 200
            assert "holds" not in seen.text
            assert "No fee payer is set" not in seen.text


async def test_without_a_fee_payer_the_page_says_so_to_both(pool, database_url, redis_url):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        for browser in await browsers(api, pool):
            seen = await browser.get(HERE)
            assert "No fee payer is set" in seen.text
            assert "holds" not in seen.text
