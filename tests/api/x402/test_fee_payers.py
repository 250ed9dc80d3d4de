"""The keys that pay fees: read where only their user can, and shown nowhere."""

import json
import pickle

import pytest
from solders.transaction import VersionedTransaction

from api.settings import ApiSettings
from api.x402.fee_payers import FeePayers, load_fee_payers
from runtime.errors import OperatorError
from runtime.settings import load
from tests.support.wallets import wallet
from tests.support.x402_payments import Purchase

FIRST, SECOND, RETIRED = (wallet(number) for number in (30, 31, 32))


def file_of(directory, keypair, mode=0o600):
    path = directory / f"{keypair.pubkey()}.json"
    path.write_text(json.dumps(list(bytes(keypair))))
    path.chmod(mode)
    return str(path)


def loaded(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_fee_payers(load(ApiSettings))


def test_without_a_key_nothing_is_settled(monkeypatch):
    payers = loaded(monkeypatch)
    assert not payers
    assert payers.next_advertised() is None
    assert payers.addresses == ()


def test_files_and_secrets_are_read_in_their_order(monkeypatch, tmp_path):
    listed = f"{file_of(tmp_path, FIRST)}, {json.dumps(list(bytes(SECOND)))}"
    payers = loaded(monkeypatch, X402_FEE_PAYER_KEYPAIR=listed, X402_RETIRED_FEE_PAYER_KEYPAIR=str(RETIRED))
    first, second, retired = (str(one.pubkey()) for one in (FIRST, SECOND, RETIRED))
    assert payers.addresses == (first, second, retired)
    assert [payers.next_advertised() for _ in range(4)] == [first, second, first, second]


def test_a_file_that_others_can_read_is_refused(monkeypatch, tmp_path):
    with pytest.raises(OperatorError, match="X402_FEE_PAYER_KEYPAIR names is open to other users"):
        loaded(monkeypatch, X402_FEE_PAYER_KEYPAIR=f"{file_of(tmp_path, FIRST)},{file_of(tmp_path, SECOND, 0o644)}")
    listed = tmp_path / "listed"
    listed.write_text(file_of(tmp_path, FIRST))
    listed.chmod(0o644)
    monkeypatch.delenv("X402_FEE_PAYER_KEYPAIR")
    with pytest.raises(OperatorError, match="X402_FEE_PAYER_KEYPAIR_FILE names is open to other users"):
        loaded(monkeypatch, X402_FEE_PAYER_KEYPAIR_FILE=str(listed))


@pytest.mark.parametrize("value", ["no key", "[1,2,3]", "/no/such/file", str(FIRST)[:-1] + "1"])
def test_what_is_no_key_is_refused_without_a_word_of_it(monkeypatch, value):
    with pytest.raises(OperatorError) as refused:
        loaded(monkeypatch, X402_FEE_PAYER_KEYPAIR=value)
    assert value not in str(refused.value)


def test_the_settlement_wallets_key_pays_no_fees(monkeypatch):
    with pytest.raises(OperatorError, match="holds other people's money"):
        loaded(monkeypatch, X402_FEE_PAYER_KEYPAIR=str(FIRST), SETTLEMENT_WALLET=str(FIRST.pubkey()))


def test_no_key_is_shown(monkeypatch):
    payers = loaded(monkeypatch, X402_FEE_PAYER_KEYPAIR=str(FIRST))
    settings = load(ApiSettings)
    for text in (repr(payers), str(payers), repr(settings), str(settings), settings.model_dump_json()):
        assert str(FIRST) not in text
    with pytest.raises(TypeError, match="not to be written"):
        pickle.dumps(payers)


@pytest.mark.parametrize("is_legacy", [False, True])
def test_the_fee_payers_signature_completes_a_payment_and_changes_nothing_else(is_legacy):
    purchase = Purchase(fee_payer=RETIRED.pubkey(), payer=wallet(20), pay_to=wallet(21).pubkey(), is_legacy=is_legacy)
    before = purchase.transaction()
    signature, wire = FeePayers([FIRST], [RETIRED]).sign(bytes(before))
    after = VersionedTransaction.from_bytes(wire)
    assert all(after.verify_with_results())
    assert str(after.signatures[0]) == signature
    assert after.message == before.message
    assert after.signatures[1:] == before.signatures[1:]
