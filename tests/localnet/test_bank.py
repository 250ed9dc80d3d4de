"""What the bank tells about a transaction is what a node would tell."""

import msgspec
import pytest
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.rpc.responses import GetTransactionResp
from solders.system_program import TransferParams
from solders.system_program import transfer as lamport_transfer
from solders.transaction import VersionedTransaction

from chain.base58 import b58decode, b58encode
from localnet import FEE_MINT
from localnet.accounts import is_token_account, mint_data, transfer_fee_mint_data
from localnet.bank import Rejected
from tests.support.lookup_tables import create_table
from tests.support.wallets import (
    PYUSD,
    SOL,
    SPL,
    SPL_2022,
    USD,
    USDC,
    USDT,
    WRAPPED_SOL,
    batch,
    close_account,
    memo,
    recover_nested,
    signed,
    token_account,
    transfer,
    transfer_checked,
    wallet,
)


def through_solders(result):
    """The result as the node's own types read and write it: unknown names vanish, wrong ones raise."""
    answer = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": result}).decode()
    return msgspec.json.decode(GetTransactionResp.from_json(answer).to_json())["result"]


def amounts(balances):
    return {entry["accountIndex"]: int(entry["uiTokenAmount"]["amount"]) for entry in balances}


@pytest.mark.parametrize("how", ["json", "jsonParsed", "base64", "base58"])
@pytest.mark.parametrize("legacy", [True, False])
def test_every_encoding_is_read_and_rewritten_unchanged_by_the_nodes_own_types(town, how, legacy):
    executed = town.pay(5 * USD, memo("order 7"), legacy=legacy)
    result = executed.result(how)
    assert through_solders(result) == result
    assert result["version"] == ("legacy" if legacy else 0)
    assert result["meta"]["status"] == {"Ok": None}


def test_binary_encodings_hold_the_very_bytes_that_were_sent(town):
    executed = town.pay(1)
    data, how = executed.result("base58")["transaction"]
    assert how == "base58"
    assert VersionedTransaction.from_bytes(b58decode(data)) == executed.transaction


def test_version_is_left_out_for_a_client_that_names_none(town):
    assert "version" not in town.pay(1, legacy=True).result(max_version=None)


def test_token_balances_before_and_after_name_mint_owner_and_program(town):
    meta = town.pay(250 * USD).result()["meta"]
    keys = town.chain.find(town.pay(1).signature).result()["transaction"]["message"]["accountKeys"]
    at = keys.index(str(town.to_account))
    (before,) = [entry for entry in meta["preTokenBalances"] if entry["accountIndex"] == at]
    (after,) = [entry for entry in meta["postTokenBalances"] if entry["accountIndex"] == at]
    assert before["uiTokenAmount"]["amount"] == str(1000 * USD)
    assert after == {
        "accountIndex": at,
        "mint": str(USDC),
        "owner": str(town.bob.pubkey()),
        "programId": str(SPL),
        "uiTokenAmount": {
            "amount": str(1250 * USD),
            "decimals": 6,
            "uiAmount": 1250.0,
            "uiAmountString": "1250",
        },
    }


def test_a_balance_of_nothing_has_a_null_ui_amount_in_a_transaction(town):
    meta = town.pay(1000 * USD).result()["meta"]
    (emptied,) = [e["uiTokenAmount"] for e in meta["postTokenBalances"] if e["uiTokenAmount"]["amount"] == "0"]
    assert emptied == {"amount": "0", "decimals": 6, "uiAmount": None, "uiAmountString": "0"}


def test_a_failed_transaction_pays_its_fee_and_moves_nothing(town):
    executed = town.pay(1001 * USD)
    meta = executed.result()["meta"]
    assert meta["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert meta["status"] == {"Err": meta["err"]}
    assert meta["preTokenBalances"] == meta["postTokenBalances"]
    assert len(meta["postTokenBalances"]) == 2
    assert meta["preBalances"][0] - meta["postBalances"][0] == meta["fee"] == 5000
    assert town.chain.true_token_balance(town.to_account) == 1000 * USD
    assert through_solders(executed.result()) == executed.result()


def test_a_transaction_whose_payer_has_nothing_never_lands(town):
    stranger = wallet(99)
    transaction = signed([memo("hello")], [stranger], town.chain.blocks[-1].hash)
    with pytest.raises(Rejected) as refusal:
        town.chain.send(transaction)
    assert refusal.value.err == "AccountNotFound"
    assert town.chain.find(str(transaction.signatures[0])) is None


def _forged(transaction):
    return VersionedTransaction.populate(transaction.message, [wallet(9).sign_message(b"no")])


def test_a_forged_signature_never_lands(town):
    payment = town.payment(1)
    forged = VersionedTransaction.populate(payment.message, [town.pay(2).transaction.signatures[0]])
    with pytest.raises(Rejected) as refusal:
        town.chain.bank.execute(_forged(payment), 1, 1)
    assert refusal.value.err == "SignatureFailure"
    with pytest.raises(Rejected) as refusal:
        town.chain.bank.execute(forged, 1, 1)
    # As on a node, signatures come first, and what has landed is known by its message.
    assert refusal.value.err == "SignatureFailure"
    landed = town.pay(3).transaction
    for transaction, expected in ((landed, "AlreadyProcessed"), (_forged(landed), "SignatureFailure")):
        with pytest.raises(Rejected) as refusal:
            town.chain.bank.execute(transaction, 1, 1)
        assert refusal.value.err == expected


def test_the_same_signature_lands_once(town):
    payment = town.payment(10 * USD)
    town.chain.send(payment)
    with pytest.raises(Rejected) as refusal:
        town.chain.send(payment)
    assert refusal.value.err == "AlreadyProcessed"
    assert town.chain.true_token_balance(town.to_account) == 1010 * USD


def test_bytes_that_are_no_transaction_raise(town):
    with pytest.raises(ValueError):
        town.chain.bank.execute(b"\x01\x02", 1, 1)


def test_inner_instructions_name_their_parent_and_stack_height(town):
    alice = town.alice.pubkey()
    town.chain.faucet.fund_token(town.from_account, USDT, 7 * USD)
    town.chain.faucet.fund_token(alice, USDT, 1 * USD)
    executed = town.chain.send(
        signed([memo("first"), recover_nested(alice, USDC, USDT)], [town.alice], town.chain.blocks[-1].hash)
    )
    result = executed.result()
    assert result["meta"]["err"] is None
    (group,) = result["meta"]["innerInstructions"]
    keys = result["transaction"]["message"]["accountKeys"]
    assert group["index"] == 1
    assert [b58decode(inner["data"])[0] for inner in group["instructions"]] == [12, 9]
    assert {keys[inner["programIdIndex"]] for inner in group["instructions"]} == {str(SPL)}
    assert {inner["stackHeight"] for inner in group["instructions"]} == {2}
    assert {outer["stackHeight"] for outer in result["transaction"]["message"]["instructions"]} == {1}
    assert town.chain.true_token_balance(token_account(alice, USDT)) == 8 * USD
    assert through_solders(result) == result
    assert through_solders(executed.result("jsonParsed")) == executed.result("jsonParsed")


def test_the_parts_of_a_batch_appear_neither_inside_nor_in_the_logs(town):
    parts = [transfer(town.from_account, town.to_account, town.alice.pubkey(), amount) for amount in (3, 4)]
    executed = town.chain.send(signed([batch(*parts)], [town.alice], town.chain.blocks[-1].hash))
    meta = executed.result()["meta"]
    assert meta["err"] is None
    assert town.chain.true_token_balance(town.to_account) == 1000 * USD + 7
    assert meta["innerInstructions"] == []
    assert not any("Instruction:" in line for line in meta["logMessages"])


def test_lookup_tables_resolve_to_loaded_addresses_in_key_order(town):
    table = create_table(town.chain, town.alice, [town.bob.pubkey(), town.to_account, USDC])
    instruction = transfer_checked(town.from_account, USDC, town.to_account, town.alice.pubkey(), 9)
    executed = town.chain.send(signed([instruction], [town.alice], town.chain.blocks[-1].hash, tables=[table]))
    result = executed.result()
    assert result["meta"]["loadedAddresses"] == {"writable": [str(town.to_account)], "readonly": [str(USDC)]}
    static = result["transaction"]["message"]["accountKeys"]
    assert str(town.to_account) not in static
    assert len(static) in amounts(result["meta"]["postTokenBalances"])
    assert amounts(result["meta"]["postTokenBalances"])[len(static)] == 1000 * USD + 9
    assert executed in town.chain.history(town.to_account)
    assert result["transaction"]["message"]["addressTableLookups"] == [
        {"accountKey": str(table.key), "writableIndexes": [1], "readonlyIndexes": [2]}
    ]
    parsed = executed.result("jsonParsed")
    assert "loadedAddresses" not in parsed["meta"]
    sources = {
        key["pubkey"]: (key["source"], key["writable"]) for key in parsed["transaction"]["message"]["accountKeys"]
    }
    assert sources[str(town.to_account)] == ("lookupTable", True)
    assert sources[str(USDC)] == ("lookupTable", False)
    assert sources[str(town.from_account)] == ("transaction", True)
    assert through_solders(result) == result
    assert through_solders(parsed) == parsed


def test_a_lookup_table_is_no_use_in_the_slot_that_extended_it(town):
    instruction = transfer(town.from_account, town.to_account, town.alice.pubkey(), 9)
    table = create_table(town.chain, town.alice, [town.to_account], ticks=0)
    payment = signed([instruction], [town.alice], town.chain.blocks[-1].hash, tables=[table])
    with pytest.raises(Rejected) as refusal:
        town.chain.send(payment)
    assert refusal.value.err == "InvalidAddressLookupTableIndex"
    town.chain.tick()
    assert town.chain.send(payment).err is None


def test_a_transaction_over_a_missing_lookup_table_never_lands(town):
    instruction = transfer(town.from_account, town.to_account, town.alice.pubkey(), 9)
    missing = AddressLookupTableAccount(wallet(77).pubkey(), [town.to_account])
    with pytest.raises(Rejected) as refusal:
        town.chain.send(signed([instruction], [town.alice], town.chain.blocks[-1].hash, tables=[missing]))
    assert refusal.value.err == "AddressLookupTableNotFound"


@pytest.mark.parametrize(("mint", "fee"), [(PYUSD, 0), (FEE_MINT, 2 * USD)])
def test_a_token_2022_fee_is_withheld_and_not_in_the_balance(town, mint, fee):
    for owner, amount in ((town.alice, 300 * USD), (town.bob, 1)):
        town.chain.faucet.fund_token(owner.pubkey(), mint, amount)
    source, destination = town.account(town.alice, mint), town.account(town.bob, mint)
    instruction = transfer_checked(source, mint, destination, town.alice.pubkey(), 200 * USD, program=SPL_2022)
    executed = town.chain.send(signed([instruction], [town.alice], town.chain.blocks[-1].hash))
    assert executed.err is None
    assert town.chain.true_token_balance(source) == 100 * USD
    assert town.chain.true_token_balance(destination) == 200 * USD - fee + 1
    keys = executed.result()["transaction"]["message"]["accountKeys"]
    after = amounts(executed.result()["meta"]["postTokenBalances"])
    assert after == {keys.index(str(source)): 100 * USD, keys.index(str(destination)): 200 * USD - fee + 1}


def test_the_transfer_fee_has_a_maximum(town):
    for owner, amount in ((town.alice, 3000 * USD), (town.bob, 0)):
        town.chain.faucet.fund_token(owner.pubkey(), FEE_MINT, amount)
    source, destination = town.account(town.alice, FEE_MINT), town.account(town.bob, FEE_MINT)
    instruction = transfer_checked(source, FEE_MINT, destination, town.alice.pubkey(), 2000 * USD, program=SPL_2022)
    town.chain.send(signed([instruction], [town.alice], town.chain.blocks[-1].hash))
    assert town.chain.true_token_balance(destination) == 1995 * USD


def test_a_closed_account_is_in_the_balances_before_and_not_after(town):
    wrapped = town.chain.faucet.fund_token(town.alice.pubkey(), WRAPPED_SOL, 2 * SOL)
    assert town.chain.true_token_balance(wrapped) == 2 * SOL
    closing = close_account(wrapped, town.alice.pubkey(), town.alice.pubkey())
    meta = town.chain.send(signed([closing], [town.alice], town.chain.blocks[-1].hash)).result()["meta"]
    assert list(amounts(meta["preTokenBalances"]).values()) == [2 * SOL]
    assert meta["postTokenBalances"] == []
    assert town.chain.true_token_balance(wrapped) is None


def test_a_transaction_with_no_token_program_reports_no_token_balances(town):
    instruction = lamport_transfer(
        TransferParams(from_pubkey=town.alice.pubkey(), to_pubkey=town.from_account, lamports=1)
    )
    meta = town.chain.send(signed([instruction], [town.alice], town.chain.blocks[-1].hash)).result()["meta"]
    assert meta["err"] is None
    assert meta["preTokenBalances"] == meta["postTokenBalances"] == []


def test_decimals_are_those_of_the_mint_as_it_is_now(chain, town):
    (_, before) = town.pay(1).post_token_balances
    mint = chain.bank.get_account(USDC)
    chain.bank.set_account(USDC, Account(mint.lamports, mint_data(None, 9), SPL))
    (_, after) = town.pay(2).post_token_balances
    assert (before.decimals, after.decimals) == (6, 9)


def token_data(length=165, *, state=1, kind=2):
    data = bytearray(length)
    data[108] = state
    if length > 165:
        data[165] = kind
    return bytes(data)


@pytest.mark.parametrize(
    ("owner", "data", "expected"),
    [
        (SPL, token_data(), True),
        (SPL, token_data(state=2), True),  # frozen
        (SPL, token_data(state=0), False),  # not initialized
        (SPL, token_data()[:164], False),
        (SPL, mint_data(None, 6), False),
        (SPL_2022, token_data(170), True),
        (SPL_2022, token_data(170, kind=1), False),  # a mint that happens to have a byte there
        (SPL_2022, token_data(170, kind=0), False),
        (SPL_2022, transfer_fee_mint_data(USDC, 6, 1, 1), False),
        (SPL_2022, token_data(355), False),  # a multisig
        (Pubkey.default(), token_data(), False),
    ],
)
def test_token_accounts_are_known_from_mints_and_multisigs(owner, data, expected):
    assert is_token_account(Account(1, data, owner)) is expected


def test_the_parsed_form_names_transfers_and_memos_and_leaves_the_rest(town):
    alice, bob = town.alice.pubkey(), town.bob.pubkey()
    lamports = lamport_transfer(TransferParams(from_pubkey=alice, to_pubkey=bob, lamports=70_000))
    checked = transfer_checked(town.from_account, USDC, town.to_account, alice, 9)
    multisig = transfer(town.from_account, town.to_account, alice, 8)
    multisig = Instruction(SPL, multisig.data, [*multisig.accounts, AccountMeta(bob, False, False)])
    executed = town.pay(5, memo("order 7"), lamports, checked, multisig)
    assert executed.err is None
    reported = executed.result("jsonParsed")["transaction"]["message"]["instructions"]
    assert reported[0]["parsed"] == {
        "type": "transfer",
        "info": {
            "source": str(town.from_account),
            "destination": str(town.to_account),
            "authority": str(alice),
            "amount": "5",
        },
    }
    assert [one.get("program") for one in reported] == ["spl-token", "spl-memo", "system", None, None]
    assert reported[1]["parsed"] == "order 7"
    assert reported[2]["parsed"]["info"] == {"source": str(alice), "destination": str(bob), "lamports": 70_000}
    assert reported[3]["programId"] == reported[4]["programId"] == str(SPL)
    assert b58decode(reported[3]["data"])[0] == 12
    assert reported[4]["accounts"][-1] == str(bob)


def test_undoing_a_transaction_restores_every_account_and_lets_it_land_again(chain, town):
    payment = town.payment(10 * USD)
    bank = chain.bank
    touched = [town.alice.pubkey(), town.from_account, town.to_account]
    before = [bank.get_account(address) for address in touched]
    executed = bank.execute(payment, 9, 1)
    assert [bank.get_account(address) for address in touched] != before
    bank.undo(executed)
    assert [bank.get_account(address) for address in touched] == before
    assert bank.execute(payment, 9, 1).err is None


def test_undoing_the_creation_of_an_account_removes_it(chain, town):
    bank = chain.bank
    new = wallet(50).pubkey()
    instruction = lamport_transfer(TransferParams(from_pubkey=town.alice.pubkey(), to_pubkey=new, lamports=SOL))
    executed = bank.execute(signed([instruction], [town.alice], chain.blocks[-1].hash), 9, 1)
    assert bank.get_account(new).lamports == SOL
    bank.undo(executed)
    assert bank.get_account(new) is None


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\xff", b"hello", bytes(range(256))])
def test_base58_reads_back_what_it_wrote(data):
    assert b58decode(b58encode(data)) == data


def test_base58_agrees_with_solders_and_refuses_other_letters():
    key = wallet(3).pubkey()
    assert b58encode(bytes(key)) == str(key)
    with pytest.raises(ValueError):
        b58decode("0OIl")
