"""Wrapped SOL moves without transfers: what its accounts hold follows lamports, seen and unseen.

On the bank where the real programs can be made to do it, on paper where another program would have to.
"""

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from spl.token.instructions import create_idempotent_associated_token_account, get_associated_token_address

from pay402.chain.decode import decode
from pay402.chain.programs import TOKEN_2022_PROGRAM, WRAPPED_SOL_2022_MINT
from pay402.ledger.observation import Kind
from tests.chain import instructions as raw
from tests.chain.paper import (
    RENT,
    Call,
    Paper,
    address,
    close,
    create,
    create_with_seed,
    findings,
    initialize,
    key,
    moves,
    name_of,
    pay,
    sync,
    token,
    transfer_checked,
    u64,
    unwrap,
)
from tests.chain.paper import transfer as move
from tests.chain.world import RENT as BANK_RENT
from tests.chain.world import SPL_2022, USDC, WSOL, World

LOWER_RENT = 203_928  # 165 bytes at a tenth of the old price (SIMD-0437)


def wrapped(seen):
    """The movements of wrapped SOL: kind and amount."""
    return [(m.kind, m.amount) for m in seen.movements if m.kind is not Kind.NATIVE_TRANSFER]


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


# --- on the bank


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


def test_an_account_opened_again_for_another_owner_keeps_its_figures(world):
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


# --- on paper: other programs move lamports, or the price of rent changes


def test_lamports_put_on_a_temporary_account_come_to_light_when_they_are_spent():
    sheet = Paper().account("pool", "wsol", 100, 800)
    sheet.does(create("payer", "purse", RENT)).does(initialize("purse", "wsol", "payer"))
    sheet.calls(sync("purse"), move("purse", "pool", 700)).does(close("purse", "payer"))
    seen = sheet.decoded()
    assert moves(seen) == [("2.0", "wrap", None, "purse", 700), ("2.1", "transfer", "purse", "pool", 700)]
    assert findings(seen) == []


def test_unseen_lamports_spent_between_two_syncs_belong_to_the_first():
    sheet = Paper().account("a", "wsol", 0, 40).account("pool", "wsol", 0, 100)
    sheet.calls(sync("a"), move("a", "pool", 100), sync("a"))
    assert moves(sheet.decoded()) == [
        ("0.0", "wrap", None, "a", 100),
        ("0.1", "transfer", "a", "pool", 100),
        ("0.2", "wrap", None, "a", 40),
    ]


def test_unseen_lamports_that_were_spent_do_not_hide_what_is_paid_later():
    sheet = Paper().account("a", "wsol", 0, None).account("pool", "wsol", 0, 100)
    sheet.calls(sync("a"), move("a", "pool", 100)).does(pay("payer", "a", 60)).does(sync("a")).does(close("a", "payer"))
    assert wrapped(sheet.decoded()) == [
        (Kind.WRAP, 100),
        (Kind.TRANSFER, 100),
        (Kind.WRAP, 60),
        (Kind.CLOSE, 60),
    ]


def test_a_temporary_account_that_received_closes_with_all_of_it():
    sheet = Paper().account("pool", "wsol", 900, 200).does(create_with_seed("payer", "purse", RENT))
    sheet.does(initialize("purse", "wsol", "payer")).calls(move("pool", "purse", 700)).does(close("purse", "payer"))
    seen = sheet.decoded()
    assert moves(seen)[1:] == [("3", "closeAccount", "purse", None, 700)]
    assert name_of(seen.movements[-1].source_owner) == "payer"
    assert findings(seen) == []


@pytest.mark.parametrize("rent", [RENT, LOWER_RENT])
def test_what_an_account_that_stays_wraps_does_not_depend_on_the_price_of_rent(rent):
    sheet = Paper().account("purse", "wsol", None, 1_000, owner="payer", reserve=(0, rent))
    sheet.does(create("payer", "purse", rent + 1_000)).does(initialize("purse", "wsol", "payer"))
    assert (moves(sheet.decoded()), findings(sheet.decoded())) == ([("1", "wrap", None, "purse", 1_000)], [])


def test_a_purse_opened_at_a_lower_price_of_rent_spends_and_receives_to_the_unit():
    sheet = Paper().account("pool", "wsol", 900, 1_200)
    for name, lamports in (("in", LOWER_RENT + 1_000), ("out", LOWER_RENT)):
        sheet.does(create("payer", name, lamports)).does(initialize(name, "wsol", "payer"))
    sheet.calls(move("in", "pool", 1_000), move("pool", "out", 700))
    sheet.does(close("in", "payer")).does(close("out", "payer"))
    seen = sheet.decoded()
    assert moves(seen) == [
        ("1", "wrap", None, "in", 1_000),
        ("4.0", "transfer", "in", "pool", 1_000),
        ("4.1", "transfer", "pool", "out", 700),
        ("6", "closeAccount", "out", None, 700),
    ]
    assert findings(seen) == []


def test_a_purse_opened_at_a_lower_price_of_rent_wraps_what_it_is_paid_later():
    sheet = Paper().does(create("payer", "purse", LOWER_RENT)).does(initialize("purse", "wsol", "payer"))
    sheet.does(pay("payer", "purse", 1_000)).does(sync("purse")).does(close("purse", "payer"))
    assert wrapped(sheet.decoded()) == [(Kind.WRAP, 1_000), (Kind.CLOSE, 1_000)]


def test_an_account_that_stays_tells_the_price_of_its_rent():
    sheet = Paper().account("purse", "wsol", None, 1_007, owner="payer", reserve=(0, LOWER_RENT))
    sheet.does(create("payer", "purse", LOWER_RENT + 1_000)).does(initialize("purse", "wsol", "payer"))
    sheet.does(pay("payer", "purse", 7)).does(sync("purse"))
    assert wrapped(sheet.decoded()) == [(Kind.WRAP, 1_000), (Kind.WRAP, 7)]


def test_a_sync_after_the_price_of_rent_fell_turns_the_difference_into_balance():
    """The program sets the reserve anew at every sync: the balance rises although no lamport moved."""
    sheet = Paper().account("a", "wsol", 500, 500 + RENT - LOWER_RENT, reserve=(RENT, LOWER_RENT)).does(sync("a"))
    assert moves(sheet.decoded()) == [("0", "wrap", None, "a", RENT - LOWER_RENT)]
    assert findings(sheet.decoded()) == []


def test_lamports_that_come_after_the_last_sync_stay_unsynced():
    sheet = Paper().account("a", "wsol", 0, 10, unsynced=(0, 3)).holds("payer", 10**9, 10**9 - 13)
    sheet.does(pay("payer", "a", 10)).does(sync("a")).does(pay("payer", "a", 3))
    assert [row for row in moves(sheet.decoded()) if row[1] == "wrap"] == [("1", "wrap", None, "a", 10)]


def test_the_payers_own_wrapped_account_is_no_part_of_its_fee():
    sheet = Paper().account("a", "wsol", 0, 50, owner="payer").holds("payer", 10**9, 10**9 - 50 - 5_000)
    seen = sheet.does(pay("payer", "a", 50)).does(sync("a")).decoded()
    assert moves(seen) == [("0", "nativeTransfer", "payer", "a", 50), ("1", "wrap", None, "a", 50)]
    assert findings(seen) == []


# --- what must not be absorbed


def test_balance_lost_without_an_instruction_is_reported_although_the_account_was_synced():
    sheet = Paper().account("a", "wsol", 100, 130).holds("payer", 10**9, 10**9 - 50)
    sheet.does(pay("payer", "a", 50)).does(sync("a"))
    seen = sheet.decoded()
    assert [row for row in moves(seen) if row[1] == "wrap"] == [("1", "wrap", None, "a", 50)]
    assert findings(seen) == [("a", -20, "no instruction shows it")]


def test_balance_gained_without_a_sync_is_reported():
    assert findings(Paper().account("a", "wsol", 100, 130).decoded()) == [("a", 30, "no instruction shows it")]


def test_a_sync_does_not_absorb_what_an_unknown_instruction_did():
    novel = token("spl", b"\xc8", "a", "b")
    sheet = Paper().account("a", "wsol", 0, 30).account("b", "wsol", 100, 70).calls(novel, sync("a"), sync("b"))
    reason = "an instruction that is not known here: c8"
    assert findings(sheet.decoded()) == [("a", 30, reason), ("b", -30, reason)]


def test_a_sync_does_not_absorb_what_was_spent_of_an_unknown_gain():
    sheet = Paper().account("a", "wsol", 0, 0).account("b", "wsol", 0, 30)
    sheet.calls(sync("a"), token("spl", b"\xc8", "a"), move("a", "b", 30))
    seen = sheet.decoded()
    assert wrapped(seen) == [(Kind.TRANSFER, 30)]
    assert findings(seen) == [("a", 30, "an instruction that is not known here: c8")]


def test_an_account_that_spends_what_it_never_had_is_reported_when_it_closes():
    sheet = Paper().account("a", "wsol", 10, None).account("b", "wsol", 0, 30)
    seen = sheet.does(move("a", "b", 30)).does(close("a", "payer")).decoded()
    assert moves(seen) == [("0", "transfer", "a", "b", 30)]
    assert findings(seen) == [("a", 20, "no instruction shows it")]


def test_a_sync_of_an_account_of_another_mint_wraps_nothing():
    sheet = Paper().account("a", "gold", 5, 9).does(sync("a"))
    assert (moves(sheet.decoded()), findings(sheet.decoded())) == ([], [("a", 4, "no instruction shows it")])


def test_the_wraps_of_a_closed_account_do_not_explain_the_one_opened_after_it():
    """Both go by one address, but the second was never given what the node says it holds."""
    sheet = Paper().account("a", "wsol", 0, 60, owner="payer").holds("payer", 10**9, 10**9 - 5_010)
    sheet.does(pay("payer", "a", 10)).does(sync("a")).does(close("a", "payer"))
    sheet.does(create("payer", "a", RENT)).does(initialize("a", "wsol", "payer"))
    seen = sheet.decoded()
    assert [row for row in moves(seen) if row[1] != "nativeTransfer"] == [
        ("1", "wrap", None, "a", 10),
        ("2", "closeAccount", "a", None, 10),
        ("4", "wrap", None, "a", 60),
    ]
    assert findings(seen) == [], "the initialize instruction finds lamports, wherever they came from"


def test_unwrap_of_an_account_that_nobody_knows_is_passed_over():
    assert Paper().does(unwrap("unseen", "payer", 5)).decoded().movements == ()


def test_a_prefunded_account_that_nobody_pays_for_on_creation():
    call = Call("system", ("purse",), (13).to_bytes(4, "little") + u64(0) + u64(165) + key("spl"))
    sheet = Paper().account("purse", "wsol", None, 9, owner="payer").holds("purse", RENT + 9, RENT + 9)
    sheet.does(call).does(initialize("purse", "wsol", "payer"))
    assert moves(sheet.decoded()) == [("1", "wrap", None, "purse", 9)]


def test_checked_transfers_of_token_2022_wrapped_sol_withhold_no_fee():
    sheet = Paper().account("a", "wsol2022", 50, 10, program="2022").account("b", "wsol2022", 0, 39, program="2022")
    seen = (
        sheet.does(transfer_checked("a", "wsol2022", "b", 30))
        .does(transfer_checked("a", "wsol2022", "b", 10))
        .decoded()
    )
    assert ([m.fee for m in seen.movements], findings(seen)) == ([0, 0], [("b", -1, "no instruction shows it")])
    assert seen.movements[0].mint == address("wsol2022")
