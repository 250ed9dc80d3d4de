"""What opening an account is said to cost, found by the symbol of the token in whatever letters it is written."""

import uuid

import pytest
from solders.keypair import Keypair

from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from localnet.payments import USDC
from worker.payouts.costs import PayoutPolicy
from worker.payouts.rows import Payout
from worker.settings import WorkerSettings

RENT_LAMPORTS = 2_039_280


def owed(symbol, mint=USDC):
    return Payout(
        id=uuid.uuid4(), kind="release", wallet=str(Keypair().pubkey()), recipient=str(Keypair().pubkey()),
        mint=str(mint), amount=5_000_000, reference=str(Keypair().pubkey()), tries=0, brought=5_000_000, came_from=None,
        symbol=symbol, decimals=6, is_asked=False, refunds_of_day=0, unborne_lamports=0, gift_left_lamports=0,
    )  # fmt: skip


@pytest.mark.parametrize("symbol", ["pyUSD", "PYUSD", "pyusd"])
@pytest.mark.parametrize("priced", ["pyUSD:0.25", "PYUSD:0.25"])
def test_the_letters_of_a_symbol_hide_no_price(symbol, priced):
    policy = PayoutPolicy.of(WorkerSettings(WORKER_PAYOUT_ACCOUNT_PRICES=priced))
    assert policy.price_of_account(owed(symbol), RENT_LAMPORTS) == 250_000


@pytest.mark.parametrize("symbol", ["EURC", None])
def test_a_token_that_nobody_priced_has_none(symbol):
    policy = PayoutPolicy.of(WorkerSettings(WORKER_PAYOUT_ACCOUNT_PRICES="pyUSD:0.25"))
    assert policy.price_of_account(owed(symbol), RENT_LAMPORTS) is None


@pytest.mark.parametrize("mint", [NATIVE_SOL, WRAPPED_SOL_MINT])
def test_sol_native_and_wrapped_costs_its_lamports(mint):
    policy = PayoutPolicy.of(WorkerSettings(WORKER_PAYOUT_ACCOUNT_PRICES="USDC:1"))
    assert policy.price_of_account(owed("SOL", mint), RENT_LAMPORTS) == RENT_LAMPORTS
