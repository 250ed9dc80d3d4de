"""Transactions that live by a nonce land days later, once, and are used up when they fail: as on a cluster."""

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.system_program import (
    AuthorizeNonceAccountParams,
    TransferParams,
    WithdrawNonceAccountParams,
    authorize_nonce_account,
    transfer,
    withdraw_nonce_account,
)
from solders.transaction import VersionedTransaction

from chain.nonces import NONCE_BYTES, advancing, creation
from localnet.bank import Rejected
from localnet.chain import BLOCKHASH_NOT_FOUND, Chain
from localnet.durable_nonces import state_of

SOL = 10**9
RENT = 1_447_680


class Owner:
    """A wallet with money and a nonce account."""

    def __init__(self, chain):
        self.chain, self.wallet, self.nonce, self.payee = chain, Keypair(), Keypair(), Keypair().pubkey()
        chain.faucet.fund_lamports(self.wallet.pubkey(), 10 * SOL)
        made = creation(self.wallet, self.nonce, str(self.wallet.pubkey()), RENT, str(chain.blocks[-1].hash))
        assert self.send(made, self.nonce).err is None

    @property
    def value(self):
        state = state_of(self.chain.account(self.nonce.pubkey()))
        return state and state.value

    def send(self, message, *others, preflight=False):
        return self.chain.send(VersionedTransaction(message, [self.wallet, *others]), preflight=preflight)

    def paying(self, lamports, *, value=None, authority=None, is_first=True):
        advance = advancing(str(self.nonce.pubkey()), str(authority or self.wallet.pubkey()))
        pay = transfer(TransferParams(from_pubkey=self.wallet.pubkey(), to_pubkey=self.payee, lamports=lamports))
        parts = [advance, pay] if is_first else [pay, advance]
        return Message.new_with_blockhash(parts, self.wallet.pubkey(), Hash.from_string(value or self.value))

    def instruct(self, instruction):
        newest = self.chain.blocks[-1].hash
        return self.send(Message.new_with_blockhash([instruction], self.wallet.pubkey(), newest))


@pytest.fixture
def chain():
    return Chain(finalize_slots=3)


@pytest.fixture
def owner(chain):
    made = Owner(chain)
    chain.tick(2)
    return made


def refused(owner, message):
    with pytest.raises(Rejected) as error:
        owner.send(message)
    return error.value.err


def test_it_lands_long_after_every_blockhash_of_its_time_has_died(owner, chain):
    paying, value = owner.paying(SOL), owner.value
    chain.tick(500)
    executed = owner.send(paying)
    assert (executed.err, executed.fee) == (None, 5_000)
    assert chain.account(owner.payee).lamports == SOL
    assert owner.value != value


def test_its_value_is_good_once(owner, chain):
    one, other = owner.paying(SOL), owner.paying(2 * SOL)
    owner.send(one)
    for message in (one, other):
        assert refused(owner, message) in {BLOCKHASH_NOT_FOUND, "AlreadyProcessed"}
    chain.tick(200)
    for message in (one, other):
        assert refused(owner, message) == BLOCKHASH_NOT_FOUND


def test_one_that_fails_has_used_it_up(owner, chain):
    failing, other = owner.paying(1_000 * SOL), owner.paying(SOL)
    assert owner.send(failing).err is not None
    assert owner.value != str(failing.recent_blockhash)
    assert refused(owner, other) == BLOCKHASH_NOT_FOUND


def test_one_that_is_only_tried_has_not(owner):
    failing, value = owner.paying(1_000 * SOL), owner.value
    with pytest.raises(Rejected):
        owner.send(failing, preflight=True)
    assert owner.value == value
    assert owner.send(owner.paying(SOL)).err is None


def test_a_value_is_not_advanced_twice_on_the_same_block(owner, chain):
    owner.send(owner.paying(SOL))
    assert refused(owner, owner.paying(SOL)) == BLOCKHASH_NOT_FOUND
    chain.tick()
    assert owner.send(owner.paying(SOL)).err is None


def test_a_fork_gives_the_value_back(owner, chain):
    paying, value = owner.paying(SOL), owner.value
    signature = owner.send(paying).signature
    chain.tick()
    chain.fork(2, drop=[signature])
    assert owner.value == value
    assert owner.send(paying).err is None


def test_who_advances_has_to_come_first_and_be_its_authority(owner, chain):
    assert refused(owner, owner.paying(SOL, is_first=False)) == BLOCKHASH_NOT_FOUND
    assert refused(owner, owner.paying(SOL, value=str(Keypair().pubkey()))) == BLOCKHASH_NOT_FOUND
    paying, heir = owner.paying(SOL), Keypair().pubkey()
    authorize = AuthorizeNonceAccountParams(
        nonce_pubkey=owner.nonce.pubkey(), authorized_pubkey=owner.wallet.pubkey(), new_authority=heir
    )
    assert owner.instruct(authorize_nonce_account(authorize)).err is None
    assert owner.value == str(paying.recent_blockhash)
    assert refused(owner, paying) == BLOCKHASH_NOT_FOUND


def test_a_closed_account_lets_nothing_live(owner, chain):
    paying = owner.paying(SOL)
    close = WithdrawNonceAccountParams(
        nonce_pubkey=owner.nonce.pubkey(),
        authorized_pubkey=owner.wallet.pubkey(),
        to_pubkey=owner.wallet.pubkey(),
        lamports=chain.account(owner.nonce.pubkey()).lamports,
    )
    assert owner.instruct(withdraw_nonce_account(close)).err is None
    assert owner.value is None
    assert refused(owner, paying) == BLOCKHASH_NOT_FOUND


def test_accounts_have_the_size_that_is_asked_for(owner, chain):
    assert len(chain.account(owner.nonce.pubkey()).data) == NONCE_BYTES
