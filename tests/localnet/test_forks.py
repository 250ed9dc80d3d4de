"""A fork abandons slots: their transactions vanish or land again, and balances tell the truth."""

import random

import pytest

from localnet import Chain
from localnet.bank import Rejected
from tests.localnet.conftest import steady_clock
from tests.support.wallets import USD, USDC, Town, memo, signed, wallet


def signatures(*executed):
    return [one.signature for one in executed]


def test_a_confirmed_transaction_can_be_dropped_and_its_money_never_moved(town):
    chain = town.chain
    chain.tick(3)
    dropped = town.pay(7 * USD)
    chain.tick(2)
    assert chain.view().level(dropped.slot) == "confirmed"
    report = chain.fork(2, drop=1.0)
    assert report.dropped == [dropped.signature]
    assert report.relanded == report.relanding == []
    assert chain.find(dropped.signature) is None
    assert dropped not in chain.history(town.to_account)
    assert chain.true_token_balance(town.to_account) == 1000 * USD
    assert chain.block(dropped.slot) is None
    chain.tick(10)
    assert chain.find(dropped.signature) is None


def test_a_transaction_lands_again_in_a_later_slot_with_the_same_signature(town):
    chain = town.chain
    chain.tick(3)
    first = town.pay(7 * USD)
    chain.tick(2)
    newest = chain.open.slot
    report = chain.fork(2, drop=0.0)
    assert report.relanded == [first.signature]
    again = chain.find(first.signature)
    assert again.slot == chain.open.slot == newest + 1
    assert again.transaction == first.transaction
    assert chain.true_token_balance(town.to_account) == 1007 * USD
    assert [one for one in chain.history(town.to_account) if one.signature == first.signature] == [again]


def test_a_transaction_can_be_nowhere_for_some_slots_before_it_lands_again(town):
    chain = town.chain
    chain.tick(3)
    first = town.pay(7 * USD)
    chain.tick()
    report = chain.fork(1, drop=0.0, reland_after=2)
    assert report.relanding == [first.signature]
    assert chain.true_token_balance(town.to_account) == 1000 * USD
    chain.tick()
    assert chain.find(first.signature) is None
    chain.tick()
    assert chain.find(first.signature).slot == chain.open.slot
    assert report.relanding == []
    assert report.relanded == [first.signature]


def test_named_signatures_go_where_they_are_named(town):
    chain = town.chain
    chain.tick(3)
    first, second, third = (town.pay(amount * USD) for amount in (1, 2, 4))
    report = chain.fork(0, drop=[second.signature])
    assert report.dropped == signatures(second)
    assert report.relanded == signatures(first, third)
    report = chain.fork(0, reland=[third.signature])
    assert report.dropped == signatures(first)
    assert report.relanded == signatures(third)
    assert chain.true_token_balance(town.to_account) == 1004 * USD


@pytest.mark.parametrize(("reland", "dropped"), [(1.0, 0), (0.0, 20)])
def test_a_rate_of_landing_again_drops_the_others(town, reland, dropped):
    town.chain.tick(3)
    sent = [town.pay(amount).signature for amount in range(1, 21)]
    report = town.chain.fork(0, reland=reland)
    assert len(report.dropped) == dropped
    assert report.dropped + report.relanded == sent


def test_what_stood_on_dropped_money_drops_or_fails_when_it_lands_again(town):
    chain = town.chain
    chain.tick(3)
    newcomer = wallet(30)
    gift = chain.faucet.fund_lamports(newcomer.pubkey(), 10**9)
    account = chain.faucet.fund_token(newcomer.pubkey(), USDC, 5 * USD)
    lands = chain.history(account)[-1]
    spent = chain.send(signed([memo("mine")], [newcomer], chain.blocks[-1].hash))
    report = chain.fork(0, drop=[gift.signature])
    assert set(report.dropped) == {gift.signature, spent.signature}
    assert report.relanded == [lands.signature]


def test_finalized_slots_cannot_be_abandoned(town):
    chain = town.chain
    chain.tick(20)
    depth = chain.blocks[-1].height - chain.finalized_height
    before = chain.view()
    with pytest.raises(ValueError, match=f"only {depth} slots"):
        chain.fork(depth + 1)
    assert chain.view() == before
    chain.fork(depth)
    assert chain.view().finalized == before.finalized


def test_blockhashes_of_a_dead_fork_are_unknown(town):
    chain = town.chain
    chain.tick(3)
    blockhash = chain.blocks[-1].hash
    payment = town.payment(1 * USD, blockhash=blockhash)
    chain.fork(1, drop=1.0)
    with pytest.raises(Rejected) as refusal:
        chain.send(payment)
    assert refusal.value.err == "BlockhashNotFound"


def test_a_fork_never_unconfirms_what_it_keeps(town):
    chain = town.chain
    chain.tick(10)
    chain.fork(2, drop=1.0)
    kept = chain.blocks[-1]
    assert chain.view().confirmed == kept.slot
    chain.fork(0)
    assert chain.view().confirmed == kept.slot


@pytest.mark.parametrize("seed", range(8))
def test_after_random_forks_every_balance_is_what_the_living_transactions_add_up_to(seed):
    dice = random.Random(seed)
    chain = Chain(finalize_slots=6, skip_rate=0.2, seed=seed, clock=steady_clock())
    town = Town(chain)
    chain.tick(8)
    start = chain.true_token_balance(town.to_account)
    amounts = {}
    for _ in range(60):
        for _ in range(dice.randrange(4)):
            amount = dice.randrange(1, 3 * USD)
            amounts[town.pay(amount).signature] = amount
        chain.tick(dice.randrange(3))
        if dice.random() < 0.2:
            open_depth = chain.blocks[-1].height - chain.finalized_height
            depth = dice.randint(0, open_depth)
            chain.fork(depth, drop=dice.random(), reland_after=dice.randrange(3), seed=dice.random())
    chain.tick(5)
    alive = [one for one in chain.transactions() if one.signature in amounts]
    assert 10 < len(alive) < len(amounts)
    assert chain.transaction_count == len(list(chain.transactions()))
    moved = sum(amounts[one.signature] for one in alive if one.err is None)
    assert chain.true_token_balance(town.to_account) == start + moved
    assert chain.true_token_balance(town.from_account) == start - moved
    assert [one for one in chain.history(town.to_account) if one.signature in amounts] == alive
    balances = [
        entry.amount
        for one in alive
        for entry in one.post_token_balances
        if one.keys[entry.account_index] == town.to_account
    ]
    assert balances[-1] == start + moved


def test_the_same_seed_drops_the_same_transactions():
    def run(seed):
        chain = Chain(clock=steady_clock())
        town = Town(chain)
        chain.tick()
        sent = [town.pay(amount).signature for amount in range(1, 21)]
        report = chain.fork(0, seed=seed)
        assert sorted(report.dropped + report.relanded) == sorted(sent)
        return report.dropped

    assert run(3) == run(3)
    assert run(3) != run(4)
