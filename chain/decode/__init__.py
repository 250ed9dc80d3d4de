"""From a node's `getTransaction` or `getBlock` answer to what really happened. Pure functions."""

from chain.decode.replay import FeeRule
from chain.decode.transaction import decode, decode_block
from chain.decode.wire import BlockResult, MalformedAnswerError, TransactionResult

__all__ = ["BlockResult", "FeeRule", "MalformedAnswerError", "TransactionResult", "decode", "decode_block"]
