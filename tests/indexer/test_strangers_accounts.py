"""Token accounts that strangers open for a wallet, and such as were a wallet's once: neither costs nor counts."""

import asyncio
from types import SimpleNamespace

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address
from structlog.testing import capture_logs

from chain.programs import TOKEN_PROGRAM
from indexer.context import open_context
from indexer.liveness import watch_progress
from indexer.main import running_indexer
from indexer.watchlist import FollowedAccount, Watchlist
from ledger.observation import BalanceChange, Kind, Movement, Observation
from localnet import payments as pay
from localnet.payments import Payment
from runtime.liveness import Liveness
from runtime.metrics import new_registry
from tests.support.fixtures.followed_market import market, market_of
from tests.support.ledger_checks import eventually, fast_settings, ledger_equals_chain

__all__ = ["market", "market_of"]

WALLET, MINT, USDC = str(Pubkey.new_unique()), str(Pubkey.new_unique()), str(pay.USDC)
ASSOCIATED = str(get_associated_token_address(Pubkey.from_string(WALLET), pay.USDC))


def opening(address, *, mint=MINT, post=0):
    """A transaction in which somebody opens a token account for the wallet, and pays it `post`."""
    change = BalanceChange(address, WALLET, mint, TOKEN_PROGRAM, 6, 0, post, existed=False)
    stranger = str(Pubkey.new_unique())
    movement = Movement("0", Kind.TRANSFER, TOKEN_PROGRAM, mint, stranger, address, stranger, WALLET, stranger, post)
    return Observation("sig", 5, None, None, (movement,) if post else (), (change,), {})


@pytest.fixture
def watchlist():
    watched = Watchlist()
    watched.add_wallet(WALLET, 0)
    return watched


def opened(watchlist, observation):
    entry = watchlist.entry(observation)
    watchlist.add_accounts(entry.opened)
    return [account.address for account in entry.opened]


def test_a_thousand_accounts_of_a_stranger_are_bounded_and_keep_no_payment_waiting(watchlist):
    spam = [str(Pubkey.new_unique()) for _ in range(1_000)]
    followed = [address for address in spam if opened(watchlist, opening(address))]
    assert len(followed) == 50
    assert watchlist.waiting == 950
    assert len(watchlist.accounts) == 51
    # What everybody pays to, and what is paid, is followed all the same.
    assert opened(watchlist, opening(ASSOCIATED, mint=USDC)) == [ASSOCIATED]
    paid = opening(spam[-1], post=7)
    entry = watchlist.entry(paid)
    assert [account.address for account in entry.opened] == [spam[-1]]
    assert [movement.amount for movement in entry.movements] == [7]
    assert watchlist.waiting == 949


async def test_accounts_that_wait_are_said_once_for_each_wallet(watchlist):
    """No socket and no pipeline is needed for it: what is said comes from the watch list alone."""
    for _ in range(60):
        opened(watchlist, opening(str(Pubkey.new_unique())))
    liveness = Liveness(new_registry())
    for loop in ("record", "sockets"):
        liveness.expect(loop, within_seconds=60)
    idle = SimpleNamespace(is_idle=True, is_failing=False, recorded=0, tries=0, pages=0)
    metrics = SimpleNamespace(liveness=liveness)
    context = SimpleNamespace(watchlist=watchlist, pipeline=idle, heal_queue=idle, healer=idle, metrics=metrics)
    with capture_logs() as lines:
        watching = asyncio.create_task(watch_progress(context, SimpleNamespace(sockets=(), progressed_at=0.0)))
        await eventually(lambda: lines)
        opened(watchlist, opening(str(Pubkey.new_unique())))
        await asyncio.sleep(1.5)
        watching.cancel()
    assert [(line["event"], line["wallet"], line["accounts"]) for line in lines] == [("dust_accounts_wait", WALLET, 10)]


def test_an_account_at_another_address_is_not_associated_by_its_mint(watchlist):
    for _ in range(50):
        opened(watchlist, opening(str(Pubkey.new_unique())))
    assert opened(watchlist, opening(str(Pubkey.new_unique()), mint=USDC)) == []


def test_what_moves_on_an_account_that_is_somebody_elses_is_not_the_wallets(watchlist):
    account, thief = str(Pubkey.new_unique()), str(Pubkey.new_unique())
    watchlist.add_accounts([FollowedAccount(account, WALLET, USDC, TOKEN_PROGRAM)])
    change = BalanceChange(account, thief, USDC, TOKEN_PROGRAM, 6, 0, 140)
    payer = str(Pubkey.new_unique())
    movement = Movement("0", Kind.TRANSFER, TOKEN_PROGRAM, USDC, payer, account, payer, thief, payer, 140)
    assert watchlist.entry(Observation("sig", 5, None, None, (movement,), (change,), {})).is_empty


async def test_an_account_that_was_handed_over_is_followed_and_audited_no_more(market, net, database_url, pool):
    recipient, payer, thief = market.recipients[0], market.payers[0], Keypair()
    account = pay.token_account(recipient.pubkey(), pay.USDC)
    settings = fast_settings(INDEXER_AUDIT_SECONDS=0.3)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await market.pay(pay.plain(payer.pubkey(), recipient.pubkey(), 140), payer)
        await ledger_equals_chain(pool, market)
        net.chain.faucet.fund_lamports(recipient.pubkey(), 10**9)
        await market.pay(handed_over(account, recipient, thief), recipient)

        async def lost():
            return await pool.fetchval("SELECT lost_slot FROM token_accounts WHERE address = $1", str(account))

        await eventually(lost)
        await eventually(lambda: str(account) not in indexer.feed.followed)
        assert await pool.fetchval("SELECT count(*) FROM token_accounts WHERE drift <> 0 OR gaps > 0") == 0


def handed_over(account, owner, new_owner):
    """SetAuthority (6) of the account's owner (2), to somebody (1)."""
    data = bytes([6, 2, 1]) + bytes(new_owner.pubkey())
    keys = [AccountMeta(account, False, True), AccountMeta(owner.pubkey(), True, False)]
    return Payment("hand over", [Instruction(Pubkey.from_string(TOKEN_PROGRAM), data, keys)], ())


async def test_an_account_that_comes_back_starts_from_a_fresh_anchor(market, net, database_url, pool):
    """What happened on it while it was somebody else's is no gap in the wallet's books."""
    recipient, payer, other = market.recipients[0], market.payers[0], Keypair()
    account = pay.token_account(recipient.pubkey(), pay.USDC)
    for owner in (recipient, other):
        net.chain.faucet.fund_lamports(owner.pubkey(), 10**9)

    async def row():
        return await pool.fetchrow("SELECT * FROM token_accounts WHERE address = $1", str(account))

    async def is_audited(at_least):
        if (found := await row()) is None:
            return False
        assert (found["drift"], found["gaps"]) == (0, 0)
        return found["lost_slot"] is None and found["audited_balance"] == at_least

    settings = fast_settings(INDEXER_AUDIT_SECONDS=0.3, INDEXER_SCAN_SECONDS=0.5)
    async with running_indexer(settings, database_url, [net.rpc_url], [net.ws_url]) as indexer:
        await market.pay(pay.plain(payer.pubkey(), recipient.pubkey(), 140), payer)
        await eventually(lambda: is_audited(140))
        await market.pay(handed_over(account, recipient, other), recipient)

        async def is_lost():
            return (await row())["lost_slot"] is not None and str(account) not in indexer.feed.followed

        await eventually(is_lost)
        await market.pay(pay.to_account(payer.pubkey(), account, 500), payer)
        await market.pay(handed_over(account, other, recipient), other)
        await eventually(lambda: str(account) in indexer.feed.followed)
        await market.pay(pay.plain(payer.pubkey(), recipient.pubkey(), 60), payer)
        await eventually(lambda: is_audited(700))
    async with open_context(settings, database_url, [net.rpc_url]) as context:
        await context.load()
        report = await context.auditor.audit([str(recipient.pubkey())], whole=True)
        assert report.findings == ()
    # The payment to somebody else was never the wallet's.
    assert await pool.fetchval("SELECT count(*) FROM transfers WHERE amount = 500") == 0
