"""`pay402 localnet pay`: a payment on the local chain, as a wallet would make it."""

import pytest
from solders.keypair import Keypair

from localnet.payments import USDC, USDT, token_account
from tests.support.command_line import pay402

SHOP, REFERENCE = (Keypair.from_seed(bytes([n]) * 32).pubkey() for n in (71, 72))


@pytest.fixture
def pay(home, net):
    async def run(*arguments, **variables):
        return await pay402("localnet", "pay", *arguments, home=home, **{"SOLANA_RPC_URL": net.rpc_url, **variables})

    return run


def balance(net, mint):
    return net.chain.true_token_balance(token_account(SHOP, mint)) or 0


async def test_a_wallet_is_paid_what_was_said(pay, net):
    done = await pay(SHOP, "--amount", "2.5", "--memo", "n-1", "--json")
    assert done.json["amount_base_units"] == "2500000"
    assert balance(net, USDC) == 2_500_000
    again = await pay(SHOP, "--token", "usdt")
    assert (again.code, balance(net, USDT)) == (0, 10_000)
    assert f"paid 0.01 USDT to {SHOP}" in again.err


async def test_a_solana_pay_link_is_paid_with_its_reference(pay, net):
    link = f"solana:{SHOP}?amount=0.5&spl-token={USDC}&reference={REFERENCE}&memo=n%2D2&label=API"
    before = balance(net, USDC)
    done = await pay(link, "--json")
    assert balance(net, USDC) - before == 500_000
    assert [str(one.signature) for one in net.chain.history(REFERENCE)] == [done.json["signature"]]


async def test_what_cannot_be_paid_is_refused(pay):
    (await pay(SHOP, "--amount", "0.0000001")).assert_refused("decimals")
    (await pay(SHOP, "--amount", "much")).assert_refused("amount")
    (await pay(SHOP, "--token", "EUR")).assert_refused("EUR")
    (await pay("nowhere")).assert_refused("nowhere")
    (await pay(f"solana:{SHOP}?amount=1")).assert_refused("Solana Pay")
    (await pay(f"solana:{SHOP}?amount=1&spl-token={SHOP}")).assert_refused("mint")
    (await pay(SHOP, SOLANA_RPC_URL="http://127.0.0.1:9")).assert_refused("pay402 up")
