"""Methods about the node, its slots, blocks and blockhashes."""

import hashlib
from typing import Any, Final

from solders.hash import Hash, ParseHashError
from solders.keypair import Keypair

from localnet import encoding
from localnet.blocks import Block
from localnet.calls import API_VERSION, Call, Method
from localnet.errors import (
    BLOCK_CLEANED_UP,
    BLOCK_NOT_AVAILABLE,
    NODE_UNHEALTHY,
    SLOT_SKIPPED,
    RpcError,
    invalid_params,
    unsupported_version,
)
from localnet.params import Config, is_base58

IDENTITY: Final = Keypair.from_seed(hashlib.sha256(b"pay402 localnet identity").digest()).pubkey()
# A node calls itself unhealthy when it is this many slots behind.
HEALTH_CHECK_SLOT_DISTANCE: Final = 128
SLOTS_PER_EPOCH: Final = 432_000
BLOCKS_RANGE_MAX: Final = 500_000
_FEATURE_SET: Final = 3_604_001_754
_RECENT_FEE_BLOCKS: Final = 150
_HASH_TEXT_MAX: Final = 44


def get_health(call: Call) -> str:
    """The word ok, or -32005 when the node is far behind."""
    if call.behind >= HEALTH_CHECK_SLOT_DISTANCE:
        raise RpcError(NODE_UNHEALTHY, f"Node is behind by {call.behind} slots", {"numSlotsBehind": call.behind})
    return "ok"


def get_version(_: Call) -> dict[str, Any]:
    """The node's version."""
    return {"feature-set": _FEATURE_SET, "solana-core": API_VERSION}


def get_genesis_hash(call: Call) -> str:
    """The hash of the genesis block."""
    return str(call.chain.blocks[0].hash)


def get_identity(_: Call) -> dict[str, str]:
    """The identity of this node."""
    return {"identity": str(IDENTITY)}


def get_slot(call: Call) -> int:
    """The newest slot at the commitment."""
    return call.slot(call.params.config(0))


def get_slot_leader(call: Call) -> str:
    """The one leader there is."""
    call.slot(call.params.config(0))
    return str(IDENTITY)


def get_block_height(call: Call) -> int:
    """How many blocks lie below the newest one at the commitment."""
    return call.block_at(call.slot(call.params.config(0))).height


def get_epoch_info(call: Call) -> dict[str, int]:
    """Slot, height and the place in the epoch."""
    slot = call.slot(call.params.config(0))
    return {
        "absoluteSlot": slot,
        "blockHeight": call.block_at(slot).height,
        "epoch": slot // SLOTS_PER_EPOCH,
        "slotIndex": slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": _transaction_count(call, slot),
    }


def get_transaction_count(call: Call) -> int:
    """Transactions up to the newest slot at the commitment."""
    return _transaction_count(call, call.slot(call.params.config(0)))


def get_first_available_block(call: Call) -> int:
    """The oldest slot whose block this node still has."""
    return call.first_available


def get_block_time(call: Call) -> int:
    """Unix seconds of a block."""
    return _block(call, call.params.integer(0), call.view.confirmed).time


def get_blocks(call: Call) -> list[int]:
    """The slots with a block between two slots, both inclusive."""
    start = call.params.integer(0)
    # The end may be left out, and then the configuration takes its place.
    ends_given = not isinstance(call.params.get(1), dict)
    config = call.params.config(2 if ends_given else 1)
    newest = _confirmed_slot(call, config)
    end = newest
    if ends_given and call.params.get(1) is not None:
        end = min(newest, call.params.integer(1))
    if end < start:
        return []
    if end - start > BLOCKS_RANGE_MAX:
        raise invalid_params(f"Slot range too large; max {BLOCKS_RANGE_MAX}")
    return [slot for slot in range(max(start, call.first_available), end + 1) if call.chain.block(slot)]


def get_blocks_with_limit(call: Call) -> list[int]:
    """The first `limit` slots with a block from a slot on."""
    start, limit = call.params.integer(0), call.params.integer(1)
    if limit > BLOCKS_RANGE_MAX:
        raise invalid_params(f"Limit too large; max {BLOCKS_RANGE_MAX}")
    newest = _confirmed_slot(call, call.params.config(2))
    slots = (slot for slot in range(max(start, call.first_available), newest + 1) if call.chain.block(slot))
    return [slot for _, slot in zip(range(limit), slots, strict=False)]


def get_block(call: Call) -> dict[str, Any]:
    """A confirmed or finalized block."""
    slot = call.params.integer(0)
    legacy = call.params.get(1)
    config = Config({"encoding": legacy}) if isinstance(legacy, str) else call.params.config(1)
    block = _block(call, slot, _confirmed_slot(call, config))
    how = config.choice("encoding", encoding.ENCODINGS, "json")
    details = config.choice("transactionDetails", ("full", "accounts", "signatures", "none"), "full")
    max_version = config.integer("maxSupportedTransactionVersion")
    answer: dict[str, Any] = {
        "blockHeight": block.height,
        "blockTime": block.time,
        "blockhash": str(block.hash),
        "parentSlot": block.parent_slot,
        "previousBlockhash": str(block.previous_blockhash),
    }
    if details == "signatures":
        answer["signatures"] = [executed.signature for executed in block.transactions]
    elif details != "none":
        for executed in block.transactions:
            if max_version is None and executed.version != "legacy":
                raise unsupported_version(executed.version)
        answer["transactions"] = [
            encoding.encode_accounts(executed, max_version)
            if details == "accounts"
            else executed.encoded(how, max_version)
            for executed in block.transactions
        ]
    if config.flag("rewards", default=True):
        answer["rewards"] = []
    return answer


def get_latest_blockhash(call: Call) -> dict[str, Any]:
    """The newest blockhash at the commitment and the last block height it can sign for."""
    slot = call.slot(call.params.config(0))
    block = call.block_at(slot)
    if block.blockhash is None:  # the open block has none yet
        block = call.block_at(block.parent_slot)
    return call.in_context(slot, {"blockhash": str(block.hash), "lastValidBlockHeight": block.last_valid_height})


def is_blockhash_valid(call: Call) -> dict[str, Any]:
    """True when a transaction with this blockhash could land in the block at the commitment."""
    text = call.params.text(0)
    try:
        blockhash = Hash.from_string(text)
    except ParseHashError:
        reason = "WrongSize" if len(text) > _HASH_TEXT_MAX or is_base58(text) else "Invalid"
        raise invalid_params(f"Invalid param: {reason}") from None
    slot = call.slot(call.params.config(1))
    return call.in_context(slot, call.chain.is_recent(blockhash, call.block_at(slot).height))


def get_recent_prioritization_fees(call: Call) -> list[dict[str, int]]:
    """Nobody has to pay more than the base fee here."""
    recent = call.chain.blocks[-_RECENT_FEE_BLOCKS:]
    return [{"slot": block.slot, "prioritizationFee": 0} for block in recent]


def _confirmed_slot(call: Call, config: Config) -> int:
    slot = call.view.slot(config.commitment(at_least_confirmed=True))
    config.check_min_context_slot(slot)
    return slot


def _transaction_count(call: Call, slot: int) -> int:
    newer = [call.chain.open]
    for block in reversed(call.chain.blocks):
        if block.slot <= slot:
            break
        newer.append(block)
    return call.chain.transaction_count - sum(len(block.transactions) for block in newer if block.slot > slot)


def _block(call: Call, slot: int, newest: int) -> Block:
    if slot < call.first_available:
        raise RpcError(
            BLOCK_CLEANED_UP,
            f"Block {slot} cleaned up, does not exist on node. First available block: {call.first_available}",
        )
    block = call.chain.block(slot)
    if block is not None and slot <= newest:
        return block
    if slot > min(newest, call.view.finalized):  # not rooted yet: nobody knows whether it will be skipped
        raise RpcError(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")
    raise RpcError(SLOT_SKIPPED, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot")


METHODS: Final[dict[str, Method]] = {
    "getHealth": get_health,
    "getVersion": get_version,
    "getGenesisHash": get_genesis_hash,
    "getIdentity": get_identity,
    "getSlot": get_slot,
    "getSlotLeader": get_slot_leader,
    "getBlockHeight": get_block_height,
    "getEpochInfo": get_epoch_info,
    "getTransactionCount": get_transaction_count,
    "getFirstAvailableBlock": get_first_available_block,
    "minimumLedgerSlot": get_first_available_block,
    "getBlockTime": get_block_time,
    "getBlocks": get_blocks,
    "getBlocksWithLimit": get_blocks_with_limit,
    "getBlock": get_block,
    "getLatestBlockhash": get_latest_blockhash,
    "isBlockhashValid": is_blockhash_valid,
    "getRecentPrioritizationFees": get_recent_prioritization_fees,
}
