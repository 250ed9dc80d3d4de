"""Solana-py's client, which is not ours, finds a node."""

import json

import pytest
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.core import RPCException, TransactionExpiredBlockheightExceededError
from solana.rpc.models import MemcmpOpts, TokenAccountOpts, TxOpts
from solders.account_decoder import ParsedAccount
from solders.rpc.errors import SendTransactionPreflightFailureMessage
from solders.signature import Signature
from solders.transaction_status import TransactionConfirmationStatus, TransactionDetails

from tests.support.wallets import PYUSD, SOL, SPL, SPL_2022, USD, USDC, Town, memo, wallet

pytestmark = pytest.mark.usefixtures("street")


async def test_a_payment_is_sent_confirmed_and_read_back_in_every_encoding(live):
    town = Town(live.chain)
    async with AsyncClient(live.rpc_url, commitment="confirmed") as client:
        latest = (await client.get_latest_blockhash()).value
        payment = town.payment(3 * USD, memo("order 9"), blockhash=latest.blockhash)
        sent = (await client.send_transaction(payment)).value
        status = await client.confirm_transaction(
            sent, "finalized", sleep_seconds=0.01, last_valid_block_height=latest.last_valid_block_height
        )
        assert status.value[0].confirmation_status == TransactionConfirmationStatus.Finalized
        for encoding in ("json", "jsonParsed", "base64", "base58"):
            found = (await client.get_transaction(sent, encoding, max_supported_transaction_version=0)).value
            meta = found.transaction.meta
            owners = {str(one.owner): one.ui_token_amount.amount for one in meta.post_token_balances}
            assert owners[str(town.bob.pubkey())] == str(1003 * USD)
            assert found.transaction.version == 0
            if encoding.startswith("base"):
                assert found.transaction.transaction == payment
            else:
                assert found.transaction.transaction.signatures == [sent]


async def test_an_airdrop_arrives(client, net):
    newcomer = wallet(40).pubkey()
    signature = (await client.request_airdrop(newcomer, 3 * SOL)).value
    net.chain.tick(2)
    assert (await client.get_balance(newcomer)).value == 3 * SOL
    assert (await client.get_balance(newcomer, "finalized")).value == 0
    assert (await client.get_signature_statuses([signature])).value[0].err is None


async def test_confirming_gives_up_once_the_blockhash_has_expired(client, net, street):
    latest = (await client.get_latest_blockhash()).value
    never_sent = street.payment(1).signatures[0]
    net.chain.tick(160)
    with pytest.raises(TransactionExpiredBlockheightExceededError):
        await client.confirm_transaction(
            never_sent, last_valid_block_height=latest.last_valid_block_height, sleep_seconds=0.01
        )


async def test_a_failing_payment_is_refused_by_preflight_with_logs(client, net, street):
    net.chain.tick(2)
    with pytest.raises(RPCException) as refusal:
        await client.send_transaction(street.payment(5000 * USD, blockhash=net.chain.blocks[-2].hash))
    error = refusal.value.args[0]
    assert isinstance(error, SendTransactionPreflightFailureMessage)
    assert error.message == ("Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1")
    assert any("insufficient funds" in line for line in error.data.logs)


async def test_a_failing_payment_lands_without_preflight(client, net, street):
    opts = TxOpts(skip_preflight=True)
    signature = (await client.send_transaction(street.payment(5000 * USD), opts)).value
    net.chain.tick(2)
    found = (await client.get_transaction(signature, max_supported_transaction_version=0)).value
    assert json.loads(found.transaction.meta.to_json())["err"] == {"InstructionError": [0, {"Custom": 1}]}


async def test_history_is_paged_newest_first(client, net, street):
    sent = []
    for amount in range(1, 8):
        sent.append(street.pay(amount, memo(f"n{amount}")))
        net.chain.tick()
    net.chain.tick(2)
    pages, before = [], None
    while page := (await client.get_signatures_for_address(street.to_account, before=before, limit=3)).value:
        pages.append(page)
        before = page[-1].signature
    entries = [entry for page in pages for entry in page]
    assert [str(entry.signature) for entry in entries[:7]] == [one.signature for one in reversed(sent)]
    assert [len(page) for page in pages] == [3, 3, 2]
    assert entries[0].memo == "[2] n7"
    assert entries[0].slot == sent[-1].slot
    assert entries[0].block_time == sent[-1].block_time
    until = Signature.from_string(sent[4].signature)
    newer = (await client.get_signatures_for_address(street.to_account, until=until)).value
    assert [str(entry.signature) for entry in newer] == [sent[6].signature, sent[5].signature]


async def test_token_accounts_of_an_owner_by_mint_and_by_program(client, net, street):
    owner = street.bob.pubkey()
    pyusd = net.chain.faucet.fund_token(owner, PYUSD, 5)
    net.chain.tick(2)
    by_mint = (await client.get_token_accounts_by_owner(owner, TokenAccountOpts(mint=USDC))).value
    assert [one.pubkey for one in by_mint] == [street.to_account]
    assert bytes(by_mint[0].account.data[32:64]) == bytes(owner)
    by_program = (
        await client.get_token_accounts_by_owner_json_parsed(owner, TokenAccountOpts(program_id=SPL_2022))
    ).value
    assert [one.pubkey for one in by_program] == [pyusd]
    assert by_program[0].account.data.parsed["info"]["tokenAmount"]["amount"] == "5"
    classic = (await client.get_token_accounts_by_owner(owner, TokenAccountOpts(program_id=SPL))).value
    assert [one.pubkey for one in classic] == [street.to_account]


async def test_accounts_are_read_raw_parsed_and_many_at_once(client, net, street):
    net.chain.tick(2)
    raw = (await client.get_account_info(street.to_account)).value
    assert raw.owner == SPL
    assert int.from_bytes(raw.data[64:72], "little") == 1000 * USD
    parsed = (await client.get_account_info_json_parsed(street.to_account)).value
    assert isinstance(parsed.data, ParsedAccount)
    assert parsed.data.parsed["info"]["owner"] == str(street.bob.pubkey())
    assert parsed.data.parsed["info"]["tokenAmount"]["uiAmountString"] == "1000"
    mint = (await client.get_account_info_json_parsed(USDC)).value
    assert mint.data.parsed["type"] == "mint"
    assert mint.data.parsed["info"]["supply"] == str(2000 * USD)
    many = (await client.get_multiple_accounts([street.to_account, wallet(60).pubkey(), USDC])).value
    assert [one is None for one in many] == [False, True, False]
    assert many[0] == raw
    both = (await client.get_multiple_accounts_json_parsed([street.to_account, wallet(60).pubkey()])).value
    assert both[0].data.parsed["type"] == "account"
    assert both[1] is None


async def test_balances_and_supply_of_tokens(client, net, street):
    net.chain.tick(2)
    balance = (await client.get_token_account_balance(street.to_account)).value
    assert (balance.amount, balance.decimals, balance.ui_amount_string) == (str(1000 * USD), 6, "1000")
    supply = (await client.get_token_supply(USDC)).value
    assert supply.amount == str(2000 * USD)


async def test_program_accounts_can_be_filtered(client, net, street):
    net.chain.tick(2)
    opts = [165, MemcmpOpts(offset=32, bytes=str(street.bob.pubkey()))]
    found = (await client.get_program_accounts(SPL, encoding="base64", filters=opts)).value
    assert [one.pubkey for one in found] == [street.to_account]


async def test_a_simulation_answers_and_changes_nothing(client, net, street):
    net.chain.tick(2)
    blockhash = net.chain.blocks[-2].hash
    good = (await client.simulate_transaction(street.payment(5 * USD, blockhash=blockhash), sig_verify=True)).value
    assert good.err is None
    assert good.units_consumed > 0
    bad = (await client.simulate_transaction(street.payment(5000 * USD, blockhash=blockhash))).value
    assert "insufficient funds" in "".join(bad.logs)
    assert bad.err is not None
    assert net.chain.true_token_balance(street.to_account) == 1000 * USD
    shown = await client.simulate_transaction(
        street.payment(5 * USD, blockhash=blockhash), accounts_addresses=[street.to_account]
    )
    assert int.from_bytes(shown.value.accounts[0].data[64:72], "little") == 1005 * USD


async def test_the_fee_of_a_message_is_the_fee_it_pays(client, net, street):
    net.chain.tick(2)
    payment = street.payment(1, memo("x"), blockhash=net.chain.blocks[-2].hash)
    fee = (await client.get_fee_for_message(payment.message)).value
    assert fee == net.chain.send(payment).fee


async def test_blocks_slots_and_heights(client, net, street):
    paid = street.pay(1)
    net.chain.tick(6)
    view = net.chain.view()
    assert (await client.get_slot()).value == view.confirmed
    assert (await client.get_slot("processed")).value == view.processed
    assert (await client.get_slot("finalized")).value == view.finalized
    assert (await client.get_block_height()).value == net.chain.block(view.confirmed).height
    assert (await client.get_blocks(1, 9)).value == [5, 6]  # finalized ones only
    assert (await client.get_first_available_block()).value == 0
    assert (await client.get_minimum_ledger_slot()).value == 0
    assert (await client.get_block_time(5)).value == net.chain.block(5).time
    block = (await client.get_block(paid.slot, max_supported_transaction_version=0)).value
    assert block.blockhash == net.chain.block(paid.slot).hash
    assert block.parent_slot == 0
    assert block.block_height == 1
    assert len(block.transactions) == 5
    assert str(block.transactions[-1].transaction.signatures[0]) == paid.signature
    listed = (await client.get_block(paid.slot, transaction_details=TransactionDetails.Signatures)).value
    assert [str(one) for one in listed.signatures][-1] == paid.signature
    info = (await client.get_epoch_info()).value
    assert (info.absolute_slot, info.transaction_count) == (view.confirmed, 5)
    assert (await client.get_transaction_count()).value == 5


async def test_what_the_node_says_of_itself(client, net):
    assert (await client.get_version()).value.solana_core
    assert (await client.get_genesis_hash()).value == net.chain.blocks[0].hash
    identity = (await client.get_identity()).value.identity
    assert (await client.get_slot_leader()).value == identity
    assert await client.is_connected()
    assert (await client.get_recent_prioritization_fees()).value[0].prioritization_fee == 0
    rent = (await client.get_minimum_balance_for_rent_exemption(165)).value
    assert rent == 2_039_280


async def test_the_clients_own_transport_survives_a_server_error(client, net):
    net.set_faults({"serverErrors": {"count": 1}})
    with pytest.raises((SolanaRpcException, RPCException)):
        await client.get_slot()
    assert (await client.get_slot("processed")).value == net.chain.open.slot
