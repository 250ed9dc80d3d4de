"""Addresses as people type them, and the instructions that the package builds itself."""

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.instructions import create_idempotent_associated_token_account, get_associated_token_address

from chain.addresses import parse_address
from chain.decode import decode
from chain.instructions import recover_nested
from chain.programs import MEMO_PROGRAMS, TOKEN_PROGRAMS, TOKENS
from ledger.observation import Kind
from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from tests.support.token_economy import USDC, WSOL, World

WALLET = "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"


@pytest.mark.parametrize("typed", [WALLET, f"  {WALLET}\n", f"\t{WALLET}"])
def test_an_address_is_taken_with_the_space_around_it(typed):
    assert parse_address(typed) == WALLET


@pytest.mark.parametrize("typed", ["", "  ", WALLET[:-3], WALLET + "1", WALLET.replace("9", "0"), "0x" + "a" * 40, "é"])
def test_what_is_no_address(typed):
    assert parse_address(typed) is None


def test_every_known_address_is_canonical():
    known = [*TOKEN_PROGRAMS, *MEMO_PROGRAMS, NATIVE_SOL, WRAPPED_SOL_MINT, *(token.mint for token in TOKENS)]
    assert [parse_address(one) for one in known] == known


def test_a_real_inner_instruction_is_found_at_its_place():
    """The associated account program moves nested tokens by an inner `TransferChecked` and closes the account."""
    world, owner = World(), Keypair()
    payer, wallet = world.wallets[0].pubkey(), owner.pubkey()
    between = get_associated_token_address(wallet, WSOL)
    nested, target = get_associated_token_address(between, USDC), get_associated_token_address(wallet, USDC)
    world.run(
        create_idempotent_associated_token_account(payer, wallet, WSOL),
        create_idempotent_associated_token_account(payer, wallet, USDC),
        create_idempotent_associated_token_account(payer, between, USDC),
        *world.pay_lamports(0, 1, 5).instructions,
        *(_to(instruction, nested) for instruction in world.transfer(USDC, 0, 1, 77).instructions),
    )
    done = world.run(recover_nested(wallet, WSOL, USDC), signers=[owner])
    seen = decode(done.result("base64"))
    (movement,) = seen.movements
    heights = [inner.stack_height() for inner in done.metadata.inner_instructions()[0]]
    assert (movement.kind, movement.amount, movement.path) == (Kind.TRANSFER_CHECKED, 77, "0.0")
    assert heights == [2, 2]
    assert (movement.source, movement.destination) == (str(nested), str(target))
    assert (movement.source_owner, movement.destination_owner) == (str(between), str(wallet))
    assert seen.unexplained == ()
    assert world.bank.get_account(nested) is None
    assert world.balance(target) == 77


def _to(instruction, destination: Pubkey):
    """The transfer with another destination."""
    metas = list(instruction.accounts)
    metas[1] = type(metas[1])(destination, metas[1].is_signer, metas[1].is_writable)
    return type(instruction)(instruction.program_id, bytes(instruction.data), metas)
