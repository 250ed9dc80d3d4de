"""What is wrong on our side, or on the seller's, is never shown as a bad payment; and no body makes it a defect."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from tests.support.api_client import key_for, running_api
from tests.support.http_serving import serving
from tests.support.ledger_checks import follow
from tests.support.wallets import SOL, SPL, USD, USDC, signed, token_account
from tests.support.x402_parties import X402Parties

_RENT_OF_NO_BYTES = 890_880


@asynccontextmanager
async def refusing_to_simulate(behind, code):
    """The address of a node that passes everything on but simulations, which no localnet refuses by itself."""
    async with aiohttp.ClientSession() as http:

        async def pass_on(request):
            call = json.loads(await request.read())
            if call["method"] == "simulateTransaction":
                error = {"code": code, "message": "Not here"}
                return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": error})
            async with http.post(behind, json=call) as response:
                return web.Response(body=await response.read(), content_type="application/json")

        async with serving(pass_on) as address:
            yield address


@pytest.mark.parametrize("lamports", [_RENT_OF_NO_BYTES + 4_000, _RENT_OF_NO_BYTES + 9_000])
async def test_a_fee_payer_that_would_fall_below_its_rent_is_our_trouble(lamports, database_url, redis_url, net, pool):
    parties = X402Parties(net.rpc_url)
    await parties.call("requestAirdrop", str(parties.fee_payer.pubkey()), lamports)
    await parties.fund(parties.buyer.pubkey(), 1_000 * USD)
    await parties.fund(parties.shop, 0)
    await follow(pool, parties.shop)
    async with running_api(database_url, redis_url, [net.rpc_url], **parties.settings) as api:
        client = api.holding(await key_for(pool))
        body = (await parties.purchase()).body()
        for path in ("/x402/verify", "/x402/settle"):
            reply = await client.post(path, body)
            assert reply.status == 503, reply.text
            assert "fee payer holds too little SOL" in reply["message"]
    assert await pool.fetchval("SELECT count(*) FROM settlements") == 0


@pytest.mark.parametrize("code", [-32601, -32600, -32015])
async def test_a_node_that_does_not_simulate_says_nothing_of_a_payment(
    code, database_url, redis_url, net, parties, pool
):
    async with refusing_to_simulate(net.rpc_url, code) as odd:
        body = (await parties.purchase()).body()
        async with running_api(database_url, redis_url, [odd, net.rpc_url], **parties.settings) as api:
            reply = await api.holding(await key_for(pool)).post("/x402/verify", body)
            assert reply["isValid"], reply.text
        async with running_api(database_url, redis_url, [odd], **parties.settings) as api:
            reply = await api.holding(await key_for(pool)).post("/x402/verify", body)
            assert reply.status == 503, reply.text
            assert "127.0.0.1" not in reply.text


async def test_a_token_account_that_was_handed_over_is_not_paid(facilitator, parties, net, pool):
    shop, heir = Keypair(), Keypair()
    await parties.call("requestAirdrop", str(shop.pubkey()), SOL)
    await parties.fund(shop.pubkey(), 0)
    await follow(pool, shop.pubkey())
    account = token_account(shop.pubkey(), USDC)
    # SetAuthority of the token program, for the owner of the account.
    data = bytes([6, 2, 1]) + bytes(heir.pubkey())
    hand_over = Instruction(SPL, data, [AccountMeta(account, False, True), AccountMeta(shop.pubkey(), True, False)])
    net.chain.send(signed([hand_over], [shop], await parties.blockhash()))
    net.chain.tick(3)
    client = facilitator.holding(await key_for(pool))
    body = (await parties.purchase(pay_to=shop.pubkey())).body()
    verdict, answered = await client.post("/x402/verify", body), await client.post("/x402/settle", body)
    assert (verdict["isValid"], verdict["invalidReason"]) == (False, "invalid_payment_requirements")
    assert (answered["success"], answered["errorReason"]) == (False, "invalid_payment_requirements")
    await asyncio.sleep(0.5)
    assert net.chain.true_token_balance(account) == 0


@pytest.mark.parametrize("pay_to", ["\0", "1" * 44, "١٢٣", "", "a" * 5_000])
async def test_an_odd_wallet_with_a_payment_identifier_is_a_bad_request(pay_to, facilitator, parties):
    purchase = await parties.purchase()
    body = purchase.body()
    body["paymentRequirements"]["payTo"] = pay_to
    body["paymentPayload"]["extensions"] = {"payment-identifier": {"info": {"required": False, "id": "x" * 20}}}
    reply = await facilitator.call("POST", "/x402/settle", body, is_documented=False)
    assert reply.status < 500, reply.text
