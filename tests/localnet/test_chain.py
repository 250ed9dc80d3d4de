"""Slots, commitment, blockhashes, history."""

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from localnet import Chain
from localnet.accounts import parse_token_account
from localnet.bank import Rejected
from localnet.blocks import View
from localnet.genesis import DEVNET_TOKENS
from tests.localnet.conftest import steady_clock
from tests.support.wallets import SOL, SPL, USD, USDC, WRAPPED_SOL, Town, signed, token_account, wallet


def balance_at(chain, account, slot):
    parsed = parse_token_account(chain.account(account, slot))
    return None if parsed is None else parsed.amount


def test_a_transaction_climbs_from_processed_to_confirmed_to_finalized(town):
    chain = town.chain
    slot = town.pay(1).slot
    levels = [chain.view().level(slot)]
    for _ in range(6):
        chain.tick()
        levels.append(chain.view().level(slot))
    # closed at the first tick; confirmed one block later, finalized four
    assert levels == [
        "processed",
        "processed",
        "confirmed",
        "confirmed",
        "confirmed",
        "finalized",
        "finalized",
    ]


def test_with_no_confirm_slots_a_block_is_confirmed_as_it_closes():
    chain = Chain(confirm_slots=0, finalize_slots=0)
    slot = chain.open.slot
    chain.tick()
    assert chain.view() == View(processed=slot + 1, confirmed=slot, finalized=slot)


@pytest.mark.parametrize("settings", [{"confirm_slots": 5, "finalize_slots": 4}, {"skip_rate": 1.0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError):
        Chain(**settings)


def test_slots_run_ahead_of_heights_and_skipped_slots_have_no_block():
    chain = Chain(skip_rate=0.3, seed=4)
    chain.tick(200)
    slots = [block.slot for block in chain.blocks]
    skipped = set(range(slots[-1])) - set(slots)
    assert [block.height for block in chain.blocks] == list(range(201))
    assert len(skipped) > 40
    assert all(chain.block(slot) is None for slot in skipped)
    assert [block.parent_slot for block in chain.blocks[1:]] == slots[:-1]


def test_the_same_seed_makes_the_same_chain():
    def run(seed):
        chain = Chain(skip_rate=0.3, seed=seed, clock=steady_clock())
        town = Town(chain)
        town.pay(5)
        chain.tick(20)
        return [(block.slot, block.hash, block.time) for block in chain.blocks]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_blockhash_signs_for_150_blocks_however_many_slots_they_take():
    chain = Chain(skip_rate=0.5, seed=1)
    town = Town(chain)
    blockhash = chain.blocks[-1].hash
    born = chain.blocks[-1].height
    chain.tick(149)
    assert chain.open.height == born + 150
    assert chain.open.slot > chain.blocks[born].slot + 200
    assert chain.send(town.payment(1, blockhash=blockhash)).err is None
    chain.tick()
    with pytest.raises(Rejected) as refusal:
        chain.send(town.payment(2, blockhash=blockhash))
    assert refusal.value.err == "BlockhashNotFound"


def test_a_blockhash_nobody_made_is_refused(town):
    with pytest.raises(Rejected) as refusal:
        town.chain.send(town.payment(1, blockhash=Hash.new_unique()))
    assert refusal.value.err == "BlockhashNotFound"


def test_an_account_can_be_read_as_it_was_at_each_commitment(town):
    chain = town.chain
    for _ in range(7):
        town.pay(1 * USD)
        town.pay(2 * USD)
        chain.tick()
    view = chain.view()
    paid = 3 * (chain.open.slot - chain.blocks[1].slot)
    assert chain.true_token_balance(town.to_account) == (1000 + paid) * USD
    for slot in (view.processed, view.confirmed, view.finalized):
        newer = 3 * (chain.open.slot - 1 - slot) if slot < chain.open.slot else 0
        assert balance_at(chain, town.to_account, slot) == (1000 + paid - newer) * USD


def test_an_account_that_did_not_exist_yet_is_not_there_at_an_older_slot(chain):
    chain.tick()
    slot = chain.blocks[-1].slot
    owner = wallet(8).pubkey()
    account = chain.faucet.fund_token(owner, USDC, 5)
    assert balance_at(chain, account, chain.open.slot) == 5
    assert chain.account(account, slot) is None
    assert chain.token_accounts_of(owner, slot) == []
    assert [address for address, _ in chain.token_accounts_of(owner)] == [account]
    assert account in dict(chain.program_accounts(SPL))
    assert account not in dict(chain.program_accounts(SPL, slot))


def test_an_account_given_to_another_owner_belongs_to_them_alone(town):
    alice, bob = town.alice.pubkey(), town.bob.pubkey()
    metas = [AccountMeta(town.from_account, False, True), AccountMeta(alice, True, False)]
    give = Instruction(SPL, bytes([6, 2, 1]) + bytes(bob), metas)
    before = town.chain.blocks[-1].slot
    town.chain.tick()
    assert town.chain.send(signed([give], [town.alice], town.chain.blocks[-1].hash)).err is None
    assert town.chain.token_accounts_of(alice) == []
    owned = {address for address, _ in town.chain.token_accounts_of(bob)}
    assert owned == {town.from_account, town.to_account}
    then = town.chain.blocks[-1].slot
    assert [address for address, _ in town.chain.token_accounts_of(alice, then)] == [town.from_account]
    assert town.chain.token_accounts_of(alice, before) == []


def test_older_versions_of_accounts_are_forgotten_in_the_end(town):
    chain = town.chain
    chain.tick(3)
    town.pay(1)
    chain.tick()
    town.pay(2)
    chain.fork(1, drop=0.5)
    chain.tick(200)
    assert list(chain._versions.addresses()) == []
    assert all(not block.before for block in chain.blocks)


def test_history_lists_every_transaction_that_mentions_an_address_and_never_by_owner(town):
    payments = [town.pay(amount) for amount in (1, 2, 3)]
    assert list(town.chain.history(town.to_account))[-3:] == payments
    assert not set(payments) & set(town.chain.history(town.bob.pubkey()))


def test_transactions_are_iterated_in_order_open_block_included(town):
    chain = town.chain
    sent = [town.pay(amount) for amount in (1, 2)]
    chain.tick()
    sent.append(town.pay(3))
    assert list(chain.transactions())[-3:] == sent
    assert [one.order for one in chain.transactions()] == sorted(one.order for one in chain.transactions())


def test_a_preflight_failure_leaves_no_trace(town):
    chain = town.chain
    lamports = chain.bank.get_account(town.alice.pubkey()).lamports
    payment = town.payment(5000 * USD)
    with pytest.raises(Rejected) as refusal:
        chain.send(payment, preflight=True)
    assert refusal.value.err == {"InstructionError": [0, {"Custom": 1}]}
    assert chain.bank.get_account(town.alice.pubkey()).lamports == lamports
    assert chain.find(str(payment.signatures[0])) is None
    # without preflight the same transaction lands, fails, and is paid for
    assert chain.send(payment).err is not None
    assert chain.bank.get_account(town.alice.pubkey()).lamports == lamports - 5000


def test_block_times_never_run_backwards():
    times = iter([100, 200, 150, 300])
    chain = Chain(clock=lambda: next(times))
    chain.tick(2)
    assert [block.time for block in [*chain.blocks, chain.open]] == [100, 200, 200, 300]


def test_programs_see_the_slot_hashes_of_the_living_fork(chain):
    chain.tick(5)
    chain.fork(2)
    chain.tick(2)
    living = [(block.slot, block.hash) for block in reversed(chain.blocks)]
    assert chain.bank.svm.get_slot_hashes() == living
    assert chain.bank.svm.get_clock().slot == chain.open.slot


def test_the_faucet_gives_every_token_of_genesis_by_transactions_in_blocks(chain):
    owner = wallet(5).pubkey()
    for token in DEVNET_TOKENS:
        account = chain.faucet.fund_token(owner, Pubkey.from_string(token.mint), 42)
        assert chain.true_token_balance(account) == 42
        assert chain.history(account)
    wrapped = chain.faucet.fund_token(owner, WRAPPED_SOL, 2 * SOL)
    assert chain.true_token_balance(wrapped) == 2 * SOL
    assert chain.transaction_count == len(DEVNET_TOKENS) + 1 == len(chain.open.transactions)


def test_gifts_alike_in_one_slot_are_each_given(chain):
    owner = wallet(5).pubkey()
    for _ in range(3):
        account = chain.faucet.fund_token(owner, USDC, 10)
    assert chain.true_token_balance(account) == 30
    assert account == token_account(owner, USDC)


def test_the_faucet_refuses_what_is_no_mint_of_its_own(chain):
    with pytest.raises(ValueError, match="not a mint"):
        chain.faucet.fund_token(wallet(5).pubkey(), wallet(6).pubkey(), 1)


def test_a_root_that_jumps_skips_the_blocks_between_in_its_notifications():
    roots = []

    class Roots:
        def on_processed(self, executed): ...
        def on_slot(self, slot, parent, root): ...
        def on_confirmed(self, block): ...
        def on_finalized(self, block):
            roots.append(block.height)

    chain = Chain(finalize_slots=2, root_stride=4)
    chain.listeners.append(Roots())
    chain.tick(20)
    assert roots == [4, 8, 12, 16]
