"""A key on a machine without a network signs what a line of the export says, and nothing else."""

import base64
import json
from dataclasses import replace

import pytest
from solders.compute_budget import set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from chain.nonces import NonceState, advance_only, advancing, nonce_account_of
from chain.programs import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from chain.sending import Sending, associated_account
from ledger.tokens import NATIVE_SOL
from localnet.genesis import FEE_MINT
from localnet.payments import USDC, USDT
from tests.support.command_line import pay402
from worker.payouts.offline_signer import NotSignedError, sign_exported, sign_void

WALLET, STRANGER = (Keypair.from_seed(bytes([n]) * 32) for n in (81, 82))
RECIPIENT, THIEF = (str(Keypair.from_seed(bytes([n]) * 32).pubkey()) for n in (83, 84))
NONCE, OTHER_NONCE = (str(Keypair.from_seed(bytes([n]) * 32).pubkey()) for n in (85, 86))
AMOUNT = 5_000_000


def sending(mint=str(USDC), program=TOKEN_PROGRAM, recipient=RECIPIENT, **changed):
    ours = Sending(
        wallet=str(WALLET.pubkey()),
        recipient=recipient,
        mint=mint,
        program=program,
        decimals=6,
        gross=AMOUNT,
        fee=0,
        reference=str(STRANGER.pubkey()),
        memo="payout",
        destination=associated_account(recipient, mint, program),
        opens_account=mint != NATIVE_SOL,
        unit_price=1_000,
    )
    return replace(ours, **changed)


def line(sent, *more, **changed):
    """A line of the export that promises the honest payout, with a message that makes `sent` and `more`."""
    message = sent.message(str(Hash.new_unique()))
    if more:
        instructions = [message_instruction(message, one) for one in message.instructions]
        message = Message.new_with_blockhash([*instructions, *more], WALLET.pubkey(), message.recent_blockhash)
    honest = {
        "payout": "a", "wallet": str(WALLET.pubkey()), "recipient": RECIPIENT, "mint": sent.mint, "amount": AMOUNT,
        "transaction": base64.b64encode(bytes(Transaction.new_unsigned(message))).decode(),
    }  # fmt: skip
    return json.dumps({**honest, **changed})


def living(sent=None, *, account=NONCE, authority=WALLET, is_first=True, **changed):
    """A line of a payout that lives by the nonce account `account`, for `authority`."""
    message = (sent or sending()).message(str(Hash.new_unique()))
    parts = [message_instruction(message, one) for one in message.instructions]
    advance = advancing(account, str(authority.pubkey()))
    parts = [advance, *parts] if is_first else [*parts, advance]
    living_message = Message.new_with_blockhash(parts, WALLET.pubkey(), message.recent_blockhash)
    transaction = base64.b64encode(bytes(Transaction.new_unsigned(living_message))).decode()
    return line(sent or sending(), **{"transaction": transaction, "nonce_account": NONCE, **changed})


def message_instruction(message: Message, compiled: CompiledInstruction):
    keys = message.account_keys
    writable = len(keys) - message.header.num_readonly_unsigned_accounts
    metas = [AccountMeta(keys[i], message.is_signer(i), i < writable) for i in compiled.accounts]
    return Instruction(keys[compiled.program_id_index], bytes(compiled.data), metas)


def twice_advanced():
    """The transaction of a line that advances its nonce account, does what it should, and advances it again."""
    message = sending().message(str(Hash.new_unique()), NONCE)
    parts = [message_instruction(message, one) for one in message.instructions]
    again = Message.new_with_blockhash([*parts, parts[0]], WALLET.pubkey(), message.recent_blockhash)
    return base64.b64encode(bytes(Transaction.new_unsigned(again))).decode()


HONEST = {
    "token": sending(),
    "a new account": sending(opens_account=True),
    "without a bid": sending(unit_price=0),
    "what the payee bears is kept": sending(gross=AMOUNT - 7),
    "SOL": sending(mint=NATIVE_SOL, program=NATIVE_SOL),
    "a fee token": sending(mint=str(FEE_MINT), program=TOKEN_2022_PROGRAM, fee=50_000),
}


@pytest.mark.parametrize("sent", HONEST.values(), ids=HONEST)
def test_an_honest_line_is_signed(sent):
    signed = sign_exported(line(sent), WALLET)
    transaction = Transaction.from_bytes(base64.b64decode(signed.transaction))
    transaction.verify()
    assert (signed.gross, signed.destination) == (sent.gross, sent.destination)


@pytest.mark.parametrize("sent", HONEST.values(), ids=HONEST)
def test_an_honest_line_that_lives_by_a_nonce_is_signed(sent):
    signed = sign_exported(living(sent), WALLET)
    message = Transaction.from_bytes(base64.b64decode(signed.transaction)).message
    assert signed.nonce_account == NONCE == nonce_account_of(message)
    # It is what the export makes.
    made = sent.message(str(message.recent_blockhash), NONCE)
    assert bytes(message) == bytes(made)


def test_a_line_that_waits_has_nothing_to_sign():
    assert sign_exported(line(sending(), transaction=None), WALLET) is None


LYING = {
    "more than the line says": line(sending(gross=AMOUNT + 1)),
    "to somebody else": line(sending(recipient=THIEF)),
    "another token": line(sending(mint=str(USDT)), mint=str(USDC)),
    "SOL instead of the token": line(sending(mint=NATIVE_SOL, program=NATIVE_SOL), mint=str(USDC)),
    "a second transfer": line(sending(), transfer(TransferParams(
        from_pubkey=WALLET.pubkey(), to_pubkey=Pubkey.from_string(THIEF), lamports=1))),
    "a fortune for the validator": line(sending(unit_price=0), set_compute_unit_price(10**9)),
    "no transfer": line(sending(), transaction=base64.b64encode(bytes(Transaction.new_unsigned(
        Message.new_with_blockhash([set_compute_unit_price(1)], WALLET.pubkey(), Hash.default())))).decode()),
    "an account opened for somebody else": line(replace(sending(recipient=THIEF), destination=associated_account(
        RECIPIENT, str(USDC), TOKEN_PROGRAM))),
    "bytes of nothing": line(sending(), transaction="bm90aGluZw=="),
    "no base64": line(sending(), transaction="%%%"),
    "a recipient that is no address": line(sending(opens_account=False), recipient="nobody"),
    "another nonce account than the line says": living(account=OTHER_NONCE),
    "a nonce account that the line does not name": living(nonce_account=None),
    "a nonce account that is named and not advanced": line(sending(), nonce_account=NONCE),
    "a nonce account that is advanced too late": living(is_first=False),
    "a nonce account that is advanced twice": living(transaction=twice_advanced()),
    "a nonce account of another authority": living(authority=STRANGER),
    "a nonce account and more than the line says": living(sending(gross=AMOUNT + 1)),
    "no line": "nonsense",
    "a list": "[]",
}  # fmt: skip


@pytest.mark.parametrize("text", LYING.values(), ids=LYING)
def test_a_line_that_lies_is_not_signed(text):
    with pytest.raises(NotSignedError):
        sign_exported(text, WALLET)


def test_another_key_signs_nothing():
    with pytest.raises(NotSignedError, match="not the key"):
        sign_exported(line(sending()), STRANGER)


def test_an_account_whose_owner_cannot_be_seen_is_paid_only_when_asked_for():
    elsewhere = sending(destination=str(STRANGER.pubkey()), opens_account=False)
    with pytest.raises(NotSignedError, match="associated account"):
        sign_exported(line(elsewhere), WALLET)
    assert sign_exported(line(elsewhere), WALLET, any_account=True).destination == str(STRANGER.pubkey())


async def test_the_command_signs_the_honest_lines_and_names_the_others(home, tmp_path):
    key = tmp_path / "settlement.json"
    key.write_text(json.dumps(list(bytes(WALLET))))
    key.chmod(0o600)
    lines = "\n".join([line(sending()), LYING["to somebody else"], line(sending(), transaction=None)])
    done = await pay402("payouts", "sign", "--keypair", key, home=home, stdin=lines.encode())
    (signed,) = done.out.split()
    Transaction.from_bytes(base64.b64decode(signed)).verify()
    assert done.code == 1
    assert "line 2 was not signed" in done.err
    assert "line 3 has nothing to sign" in done.err
    twice = "\n".join([living(), living(payout="b"), living(account=OTHER_NONCE, nonce_account=OTHER_NONCE)])
    done = await pay402("payouts", "sign", "--keypair", key, home=home, stdin=twice.encode())
    assert len(done.out.split()) == 1
    assert "line 2 was not signed: the nonce account" in done.err
    assert "line 3 was not signed: the payout a was signed already" in done.err
    key.chmod(0o644)
    (await pay402("payouts", "sign", "--keypair", key, home=home, stdin=lines.encode())).assert_refused("--keypair")


def test_what_voids_is_signed_only_where_it_does_nothing_else():
    wallet, account, thief = Keypair(), str(Keypair().pubkey()), Keypair().pubkey()
    owner = str(wallet.pubkey())

    def line(message, *, void=account):
        transaction = base64.b64encode(bytes(Transaction.new_unsigned(message))).decode()
        return json.dumps({"void": void, "wallet": owner, "transaction": transaction})

    honest = advance_only(account, NonceState(owner, str(Hash.new_unique())))
    Transaction.from_bytes(base64.b64decode(sign_void(line(honest), wallet).transaction)).verify()
    steal = transfer(TransferParams(from_pubkey=wallet.pubkey(), to_pubkey=thief, lamports=1))
    both = Message.new_with_blockhash([advancing(account, owner), steal], wallet.pubkey(), Hash.new_unique())
    without = Message.new_with_blockhash([steal], wallet.pubkey(), Hash.default())
    for text in (line(both), line(honest, void=str(thief)), line(without)):
        with pytest.raises(NotSignedError):
            sign_void(text, wallet)
    with pytest.raises(NotSignedError, match="not the key"):
        sign_void(line(honest), Keypair())
