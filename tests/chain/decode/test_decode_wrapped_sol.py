"""Wrapped SOL moves without transfers: what its accounts hold follows lamports, as the real programs have it."""

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from spl.token.instructions import create_idempotent_associated_token_account, get_associated_token_address

from chain.decode import decode
from chain.programs import TOKEN_2022_PROGRAM, WRAPPED_SOL_2022_MINT
from ledger.observation import Kind
from tests.support import raw_instructions as raw
from tests.support.handwritten_transactions import (
    wrapped,
)
from tests.support.token_economy import RENT as BANK_RENT
from tests.support.token_economy import SPL_2022, USDC, WSOL, World


def send_lamports(world, wallet, account, lamports):
    source = world.wallets[wallet].pubkey()
    return transfer(TransferParams(from_pubkey=source, to_pubkey=account, lamports=lamports))


@pytest.fixture
def world():
    return World()


def balanced(world, done, *accounts):
    """The observation of a transaction whose movements add up to what the bank holds of `accounts`."""
    seen = decode(done.result("base64"))
    assert seen.unexplained == ()
    changes = {change.account: change for change in seen.balances}
    for account in accounts:
        change = changes[str(account)]
        mine = [m for m in seen.movements if m.mint == change.mint]
        moved = sum(m.amount - m.fee for m in mine if m.destination == change.account)
        moved -= sum(m.amount for m in mine if m.source == change.account)
        assert change.post - change.pre == moved
        assert change.post == world.balance(account)
    return seen


def test_several_syncs_each_take_what_came_since(world):
    account = world.account(1, WSOL)
    done = world.run(
        send_lamports(world, 0, account, 5),
        raw.sync(account),
        raw.sync(account),
        send_lamports(world, 0, account, 7),
        raw.sync(account),
    )
    assert wrapped(balanced(world, done, account)) == [(Kind.WRAP, 5), (Kind.WRAP, 7)]


def test_lamports_that_nobody_synced_are_no_balance_until_somebody_does(world):
    account = world.account(1, WSOL)
    first = balanced(world, world.run(send_lamports(world, 0, account, 5), *world.burn(USDC, 0, 0).instructions))
    assert [(m.kind, m.amount) for m in first.movements] == [(Kind.NATIVE_TRANSFER, 5), (Kind.BURN, 0)]
    later = balanced(world, world.run(raw.sync(account)), account)
    assert wrapped(later) == [(Kind.WRAP, 5)]


@pytest.mark.parametrize("spend", [0, 600, 1_000])
def test_unsynced_lamports_of_an_account_that_closes_are_wrapped_only_by_a_sync(world, spend):
    account, owner = world.account(1, WSOL), world.wallets[1].pubkey()
    before = world.balance(account)
    world.run(send_lamports(world, 0, account, 1_000))
    instructions = [raw.sync(account)] if spend else []
    instructions += world.transfer(WSOL, 1, 2, spend).instructions
    done = world.run(*instructions, raw.close(account, owner, owner))
    assert world.bank.get_account(account) is None
    seen = balanced(world, done, world.account(2, WSOL))
    found = 1_000 if spend else 0
    assert wrapped(seen) == [
        *([(Kind.WRAP, found)] if found else []),
        (Kind.TRANSFER, spend),
        (Kind.CLOSE, before + found - spend),
    ]


def test_an_account_with_a_seed_is_funded_opened_spent_and_closed(world):
    owner, target = world.wallets[0].pubkey(), world.account(1, WSOL)
    make, purse = raw.create_with_seed(owner, "purse", BANK_RENT + 1_000)
    spend = world.transfer(WSOL, 0, 1, 400).instructions[0]
    spend = raw.build(spend.program_id, spend.data, (purse, target), (owner,))
    done = world.run(make, raw.initialize(purse, WSOL, owner), spend, raw.close(purse, owner, owner))
    seen = balanced(world, done, target)
    assert wrapped(seen) == [(Kind.WRAP, 1_000), (Kind.TRANSFER, 400), (Kind.CLOSE, 600)]
    assert [m.source_owner for m in seen.movements][1:] == [str(owner)] * 2


def test_a_prefunded_account_wraps_what_it_held_when_it_is_opened(world):
    wallet, stranger = world.wallets[0].pubkey(), Keypair().pubkey()
    account = get_associated_token_address(stranger, WSOL)
    world.run(send_lamports(world, 0, account, BANK_RENT + 77))
    done = world.run(create_idempotent_associated_token_account(wallet, stranger, WSOL))
    assert wrapped(balanced(world, done, account)) == [(Kind.WRAP, 77)]


def test_an_account_created_over_lamports_it_holds_already(world):
    payer, fresh = world.wallets[0].pubkey(), Keypair()
    world.run(send_lamports(world, 0, fresh.pubkey(), 1_000_000))
    make = raw.create_allow_prefund(fresh.pubkey(), payer, BANK_RENT)
    done = world.run(make, raw.initialize(fresh.pubkey(), WSOL, payer), signers=[fresh])
    seen = balanced(world, done, fresh.pubkey())
    assert [(m.kind, m.amount) for m in seen.movements] == [(Kind.WRAP, 1_000_000)]


def test_closing_one_wrapped_account_into_another_that_is_synced_moves_its_rent_too(world):
    source, target, owner = world.account(1, WSOL), world.account(2, WSOL), world.wallets[1].pubkey()
    before = world.balance(source)
    done = world.run(raw.close(source, target, owner), raw.sync(target))
    seen = balanced(world, done, target)
    assert wrapped(seen) == [(Kind.CLOSE, before), (Kind.WRAP, before + BANK_RENT)]


def test_closing_another_token_account_into_a_wrapped_one_that_is_synced_wraps_its_rent(world):
    owner, target = world.wallets[1].pubkey(), world.account(1, WSOL)
    empty = world.transfer(USDC, 1, 0, world.balance(world.account(1, USDC))).instructions
    done = world.run(*empty, raw.close(world.account(1, USDC), target, owner), raw.sync(target))
    assert wrapped(balanced(world, done, target))[1:] == [(Kind.WRAP, BANK_RENT)]


def test_excess_lamports_withdrawn_onto_a_wrapped_account_are_found_by_the_sync(world):
    owner, target = world.wallets[1].pubkey(), world.account(1, WSOL)
    world.run(send_lamports(world, 0, world.account(1, USDC), 4_321))
    done = world.run(raw.withdraw_excess(world.account(1, USDC), target, owner), raw.sync(target))
    assert wrapped(balanced(world, done, target)) == [(Kind.WRAP, 4_321)]


def test_lamports_that_a_program_moves_by_itself_are_found_by_the_sync(world):
    """The lookup table program pays a closed table's lamports out without any system instruction."""
    authority, target = world.wallets[0].pubkey(), world.account(1, WSOL)
    table = world.look_up([target, USDC])
    world.tables.clear()
    rent = world.bank.get_account(table).lamports
    world.run(raw.deactivate_lookup_table(table, authority))
    world.advance(600)
    done = world.run(
        *world.wrap(0, 1, 9).instructions, raw.close_lookup_table(table, authority, target), raw.sync(target)
    )
    assert wrapped(balanced(world, done, target)) == [(Kind.WRAP, 9), (Kind.WRAP, rent)]


def test_unwrapping_everything_and_unwrapping_to_itself(world):
    account, owner = world.account(1, WSOL), world.wallets[1].pubkey()
    before = world.balance(account)
    to_itself = world.run(raw.unwrap(account, account, owner, 300))
    assert wrapped(balanced(world, to_itself, account)) == [(Kind.UNWRAP, 300)]
    again = world.run(raw.sync(account), raw.unwrap(account, owner, owner))
    assert wrapped(balanced(world, again, account)) == [(Kind.WRAP, 300), (Kind.UNWRAP, before)]


def test_an_account_opened_again_for_another_mint_starts_from_nothing(world):
    payer, fresh = world.wallets[0].pubkey(), Keypair()
    account = fresh.pubkey()
    world.run(
        raw.create_account(payer, account, BANK_RENT + 500), raw.initialize(account, WSOL, payer), signers=[fresh]
    )
    give = world.transfer(USDC, 0, 1, 42).instructions[0]
    give = raw.build(give.program_id, give.data, (world.account(0, USDC), account), (payer,))
    other = world.wallets[2].pubkey()
    done = world.run(
        raw.close(account, payer, payer),
        raw.create_account(payer, account, BANK_RENT),
        raw.initialize(account, USDC, other),
        give,
        signers=[fresh],
    )
    seen = balanced(world, done, account, world.account(0, USDC))
    assert wrapped(seen) == [(Kind.CLOSE, 500), (Kind.TRANSFER, 42)]
    assert [m.destination_owner for m in seen.transfers] == [str(other)]
    (change,) = (change for change in seen.balances if change.account == str(account))
    assert (change.mint, change.pre, change.post, change.existed, change.owner) == (str(USDC), 0, 42, False, str(other))


def test_an_account_opened_again_for_another_owner_keeps_its_amounts(world):
    payer, fresh, other = world.wallets[0].pubkey(), Keypair(), world.wallets[1].pubkey()
    account = fresh.pubkey()
    world.run(
        raw.create_account(payer, account, BANK_RENT + 500), raw.initialize(account, WSOL, payer), signers=[fresh]
    )
    done = world.run(
        raw.close(account, payer, payer),
        raw.create_account(payer, account, BANK_RENT + 20),
        raw.initialize(account, WSOL, other),
        raw.unwrap(account, other, other, 5),
        signers=[fresh],
    )
    seen = balanced(world, done, account)
    assert wrapped(seen) == [(Kind.CLOSE, 500), (Kind.WRAP, 20), (Kind.UNWRAP, 5)]
    assert [m.source_owner or m.destination_owner for m in seen.movements] == [str(payer), str(other), str(other)]
    (change,) = (change for change in seen.balances if change.account == str(account))
    assert (change.pre, change.post, change.owner) == (500, 15, str(other))


def test_wrapped_sol_of_token_2022_is_wrapped_sent_unwrapped_and_closed(world):
    mint = Pubkey.create_program_address([b"native-mint", bytes([255])], SPL_2022)
    assert (str(mint), str(SPL_2022)) == (WRAPPED_SOL_2022_MINT, TOKEN_2022_PROGRAM)
    payer, other = (wallet.pubkey() for wallet in world.wallets[:2])
    mine, theirs = (get_associated_token_address(owner, mint, SPL_2022) for owner in (payer, other))
    world.run(
        raw.create_native_mint(payer, mint),
        *(create_idempotent_associated_token_account(payer, owner, mint, SPL_2022) for owner in (payer, other)),
    )
    done = world.run(
        send_lamports(world, 0, mine, 1_000),
        raw.sync(mine, SPL_2022),
        raw.transfer_checked_2022(mine, mint, theirs, payer, 300, 9),
    )
    seen = balanced(world, done, mine, theirs)
    assert wrapped(seen) == [(Kind.WRAP, 1_000), (Kind.TRANSFER_CHECKED, 300)]
    done = world.run(
        send_lamports(world, 0, mine, 5), raw.sync(mine, SPL_2022), raw.close(mine, payer, payer, SPL_2022)
    )
    seen = balanced(world, done)
    assert wrapped(seen) == [(Kind.WRAP, 5), (Kind.CLOSE, 705)]
