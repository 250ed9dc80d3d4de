"""One transaction of a node's answer: its movements, balances, memos, and what of them does not add up.

Logs are never read: p-token, the token program that runs on mainnet, writes none.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from chain.base58 import b58decode
from chain.decode.replay import FeeRule, Replay
from chain.decode.steps import Call, steps_of
from chain.decode.wire import (
    BlockOfAnything,
    BlockResult,
    CompiledInstruction,
    Envelope,
    InnerInstructions,
    MalformedAnswerError,
    Meta,
    TransactionResult,
    open_envelope,
)
from chain.programs import MEMO_PROGRAMS, SYSTEM_PROGRAM, TOKEN_PROGRAMS
from ledger.observation import BalanceChange, Kind, Movement, Observation, Unexplained

_FIRST_BLOCK_SECONDS = 1_584_282_000  # the cluster's genesis, March 2020
_YEAR_3000_SECONDS = 32_503_680_000
_PROGRAMS_READ = frozenset({*TOKEN_PROGRAMS, *MEMO_PROGRAMS, SYSTEM_PROGRAM})


def decode(
    result: TransactionResult | dict[str, Any], *, fee_rules: Mapping[str, FeeRule] | None = None
) -> Observation:
    """Decode one transaction.

    Args:
        result: The `result` of `getTransaction`, or one of `getBlock`'s transactions, in `json` or `base64`
            encoding.
        fee_rules: By mint, the Token-2022 fee that its configuration withholds from an amount. Needed only
            where several transfers of one such mint reach one account: elsewhere balances show the fee.

    Raises:
        MalformedAnswerError: The answer does not have the form that the protocol promises.
    """
    result = _transaction(result)
    if result.meta is None:
        raise MalformedAnswerError("a transaction without its meta: the node cannot tell what it did")
    envelope, meta = open_envelope(result), result.meta
    loaded = meta.loaded_addresses
    keys = envelope.static_keys + (loaded.writable + loaded.readonly if loaded else [])
    try:
        return _observe(result, envelope, meta, keys, fee_rules or {})
    except (IndexError, ValueError) as error:
        raise MalformedAnswerError(f"transaction {envelope.signature}: {error}") from error


def decode_block(
    result: BlockResult | dict[str, Any], *, on_unreadable: Callable[[int, MalformedAnswerError], None] | None = None
) -> Iterator[Observation]:
    """Decode every transaction of a `getBlock` result with full transaction details.

    Args:
        result: The block.
        on_unreadable: Called with the index of each transaction that cannot be read, and why; the others
            follow all the same.

    Raises:
        MalformedAnswerError: The block does not have the promised form; without `on_unreadable` also when a
            transaction in it does not.
    """
    try:
        block = result if isinstance(result, BlockResult) else msgspec.convert(result, BlockOfAnything)
    except msgspec.ValidationError as error:
        raise MalformedAnswerError(f"not a block with its transactions: {error}") from error
    for index, answer in enumerate(block.transactions):
        try:
            transaction = _transaction(answer)
            if transaction.block_time is None:
                transaction.block_time = block.block_time
            observation = decode(transaction)
        except MalformedAnswerError as error:
            if on_unreadable is None:
                raise
            on_unreadable(index, error)
        else:
            yield observation


def _transaction(result: Any) -> TransactionResult:
    try:
        return result if isinstance(result, TransactionResult) else msgspec.convert(result, TransactionResult)
    except msgspec.ValidationError as error:
        raise MalformedAnswerError(f"not a transaction in json or base64 encoding: {error}") from error


def _observe(
    result: TransactionResult,
    envelope: Envelope,
    meta: Meta,
    keys: list[str],
    fee_rules: Mapping[str, FeeRule],
) -> Observation:
    # One that failed because its lookup tables could not be loaded is reported without the keys they hold.
    if meta.err is None and not len(keys) == len(meta.pre_balances) == len(meta.post_balances):
        raise MalformedAnswerError(
            f"it names {len(keys)} accounts but reports {len(meta.pre_balances)} balances before "
            f"and {len(meta.post_balances)} after"
        )
    balances = _token_balances(meta, keys)
    lamports = dict(zip(keys, zip(meta.pre_balances, meta.post_balances, strict=False), strict=False))
    movements: Sequence[Movement] = ()
    unexplained: Sequence[Unexplained] = ()
    memos: tuple[str, ...] = ()
    if meta.err is None:
        calls = _calls(envelope, meta.inner_instructions or [], keys)
        before = {keys[balance.account_index]: balance for balance in meta.pre_token_balances or []}
        lamports_before = dict(zip(keys, meta.pre_balances, strict=True))
        lamports_before[keys[0]] -= meta.fee
        replay = Replay(
            changes=balances,
            lamports=lamports_before,
            lamports_reported=lamports,
            references=_read_only_extras(envelope, meta, keys),
            fee_rules=fee_rules,
        )
        movements, unexplained = replay.run(steps_of(calls, TOKEN_PROGRAMS), before)
        if meta.pre_token_balances is None or meta.post_token_balances is None:
            unexplained = [*unexplained, *_unreported(movements, balances)]
        memos = tuple([call.data.decode("utf-8", "replace") for call in calls if call.program in MEMO_PROGRAMS])
    return Observation(
        signature=envelope.signature,
        slot=result.slot,
        block_time_seconds=_plausible_time(result.block_time),
        error=meta.err,
        movements=tuple(movements),
        balances=tuple(balances.values()),
        lamports=lamports,
        memos=memos,
        unexplained=tuple(unexplained),
    )


def _unreported(movements: Iterable[Movement], balances: Mapping[str, BalanceChange]) -> Iterator[Unexplained]:
    """What moved on accounts whose balances the node leaves out together with all the others."""
    for movement in movements:
        if movement.kind is Kind.NATIVE_TRANSFER or movement.mint is None:
            continue
        gained = movement.amount - movement.fee
        for account, difference in ((movement.source, -movement.amount), (movement.destination, gained)):
            if account is not None and account not in balances:
                yield Unexplained(account, movement.mint, difference, "the node reports no token balances")


def _plausible_time(block_time: object) -> int | None:
    """Seconds since 1970, or `None` for anything that cannot be a time of a Solana block."""
    if isinstance(block_time, int) and _FIRST_BLOCK_SECONDS <= block_time < _YEAR_3000_SECONDS:
        return block_time
    return None


def _token_balances(meta: Meta, keys: list[str]) -> dict[str, BalanceChange]:
    """The node's token balances by account."""
    before = {balance.account_index: balance for balance in meta.pre_token_balances or []}
    after = {balance.account_index: balance for balance in meta.post_token_balances or []}
    changes = {}
    for index in sorted(before.keys() | after.keys()):
        pre, post = before.get(index), after.get(index)
        if pre is not None and post is not None and pre.mint != post.mint:
            pre = None  # closed, and opened again for another mint: of that one there was nothing
        known = post or pre
        assert known is not None
        account = keys[index]
        changes[account] = BalanceChange(
            account=account,
            owner=known.owner,
            mint=known.mint,
            program=known.program_id,
            decimals=known.ui_token_amount.decimals,
            pre=pre.ui_token_amount.base_units if pre else 0,
            post=post.ui_token_amount.base_units if post else 0,
            existed=pre is not None,
            exists=post is not None,
        )
    return changes


def _calls(envelope: Envelope, inner: list[InnerInstructions], keys: list[str]) -> list[Call]:
    """Every outer and inner instruction of the programs read here, in order of execution."""
    called: dict[int, list[CompiledInstruction]] = {}
    for group in inner:
        if group.index >= len(envelope.instructions):
            raise MalformedAnswerError(f"inner instructions of an instruction {group.index} that it does not have")
        called.setdefault(group.index, []).extend(group.instructions)
    calls = []
    for outer_index, instruction in enumerate(envelope.instructions):
        path = str(outer_index)
        if (program := keys[instruction.program_index]) in _PROGRAMS_READ:
            calls.append(_call(path, program, instruction.accounts, instruction.data, keys))
        for inner_index, child in enumerate(called.get(outer_index, ())):
            if (program := keys[child.program_id_index]) in _PROGRAMS_READ:
                calls.append(_call(f"{path}.{inner_index}", program, child.accounts, child.data, keys))
    return calls


def _call(path: str, program: str, accounts: bytes | list[int], data: bytes | str, keys: list[str]) -> Call:
    raw = b58decode(data) if isinstance(data, str) else data
    return Call(path, program, [keys[index] for index in accounts], raw)


def _read_only_extras(envelope: Envelope, meta: Meta, keys: list[str]) -> list[str]:
    """The keys that neither sign nor are written: only those can be Solana Pay references."""
    signers, _, read_only_unsigned = envelope.header
    static = len(envelope.static_keys)
    loaded_writable = len(meta.loaded_addresses.writable) if meta.loaded_addresses else 0
    return keys[max(signers, static - read_only_unsigned) : static] + keys[static + loaded_writable :]
