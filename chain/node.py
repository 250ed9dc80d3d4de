"""The questions we ask a Solana node, with typed answers. Source: the Solana JSON-RPC reference."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from chain.accounts import HOLDING_BYTES, AccountState, OwnedTokenAccount
from chain.asking import ask_each
from chain.decode.wire import Slot, TransactionResult
from chain.programs import TOKEN_PROGRAM, TOKEN_PROGRAMS
from chain.rpc import Endpoint, PermanentRpcError, RpcError, RpcPool

SIGNATURES_PER_PAGE: Final = 1000
ACCOUNTS_PER_CALL: Final = 100
STATUSES_PER_CALL: Final = 256
_TRIED_IN_ORDER: Final = {0: (0, 1), 1: (1, 0)}  # by the version that was accepted last
# The highest version specified; a node that knows only 0 accepts a higher number.
TRANSACTION_VERSION_MAX: Final = max(_TRIED_IN_ORDER)

_INVALID_PARAMS: Final = -32602
_UNSUPPORTED_VERSION: Final = -32015


class SignatureInfo(msgspec.Struct, rename="camel"):
    """One line of an account's history."""

    signature: str
    slot: Slot
    err: Any = None
    confirmation_status: str | None = None


class SignatureStatus(msgspec.Struct, rename="camel"):
    """Where a transaction stands."""

    slot: Slot
    err: Any = None
    confirmation_status: str | None = None


class _Context(msgspec.Struct):
    slot: Slot


class _Account(msgspec.Struct):
    # msgspec decodes the base64 itself, and refuses an answer where it is none.
    data: tuple[bytes, Literal["base64"]]
    owner: str
    lamports: int
    executable: bool = False


class _AccountAnswer(msgspec.Struct):
    context: _Context
    value: _Account | None


class _AccountsAnswer(msgspec.Struct):
    context: _Context
    value: list[_Account | None]


class _StatusesAnswer(msgspec.Struct):
    context: _Context
    value: list[SignatureStatus | None]


class _KeyedAccount(msgspec.Struct):
    pubkey: str
    account: _Account


class _OwnedAnswer(msgspec.Struct):
    context: _Context
    value: list[_KeyedAccount]


class _SimulationValue(msgspec.Struct):
    err: Any = None
    logs: list[str] | None = None
    accounts: list[_Account | None] | None = None


class _SimulationAnswer(msgspec.Struct):
    context: _Context
    value: _SimulationValue


class _EpochInfo(msgspec.Struct):
    epoch: int


@dataclass(frozen=True, slots=True)
class EndpointStatuses:
    """Where transactions stand for an endpoint at `slot`; without `statuses` it did not answer: `error` says why."""

    endpoint: str
    slot: int
    statuses: list[SignatureStatus | None] | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do at `slot`.

    Attributes:
        err: The node's JSON for its error; `None` where it would succeed.
        logs: What its programs would write.
        accounts: Those that were asked for, as they would be afterwards; all `None` where it would fail.
    """

    slot: int
    err: Any
    logs: list[str]
    accounts: list[AccountState | None]


@dataclass(slots=True)
class Node:
    """Typed calls over a pool of endpoints. Errors are those of `RpcPool.call`."""

    pool: RpcPool
    transaction_version: int = TRANSACTION_VERSION_MAX
    knows_min_context_slot: bool = True

    async def transaction(
        self, signature: str, *, commitment: str = "confirmed", at: Endpoint | None = None
    ) -> TransactionResult | None:
        """The transaction, of any endpoint or of `at` alone, or `None` while it does not have it at `commitment`."""
        refusal: PermanentRpcError | None = None
        for version in _TRIED_IN_ORDER[self.transaction_version]:
            config = {
                "commitment": commitment,
                "encoding": "base64",
                "maxSupportedTransactionVersion": version,
            }
            try:
                found: TransactionResult | None = await self.pool.call(
                    "getTransaction", [signature, config], TransactionResult | None, at=at
                )
            except PermanentRpcError as error:
                # A node that checks the parameter strictly refuses a version it has never heard of; one that
                # got a version too low has a transaction of a higher one.
                if error.code not in {_INVALID_PARAMS, _UNSUPPORTED_VERSION}:
                    raise
                refusal = error
            else:
                self.transaction_version = version
                return found
        assert refusal is not None
        raise refusal

    async def signatures(
        self,
        address: str,
        *,
        before: str | None = None,
        limit: int = SIGNATURES_PER_PAGE,
        min_context_slot: int | None = None,
        at: Endpoint | None = None,
    ) -> list[SignatureInfo]:
        """A page of an account's confirmed history, newest first, failed transactions included.

        It is that of any endpoint, or of `at` alone.
        """
        config: dict[str, Any] = {"commitment": "confirmed", "limit": limit}
        if before is not None:
            config["before"] = before
        if min_context_slot is not None and self.knows_min_context_slot:
            config["minContextSlot"] = min_context_slot
        try:
            page: list[SignatureInfo] = await self.pool.call(
                "getSignaturesForAddress", [address, config], list[SignatureInfo], at=at
            )
        except PermanentRpcError as error:
            # The parameter came late to this method; a node without it must not stop all healing.
            if error.code != _INVALID_PARAMS or config.pop("minContextSlot", None) is None:
                raise
            page = await self.pool.call("getSignaturesForAddress", [address, config], list[SignatureInfo], at=at)
            self.knows_min_context_slot = False  # it was indeed the parameter, not the address
        return page

    async def token_accounts(self, wallet: str) -> list[OwnedTokenAccount]:
        """Every token account of `wallet`, under both token programs."""
        found = []
        for program in TOKEN_PROGRAMS:
            config = {
                "commitment": "confirmed",
                "encoding": "base64",
                "dataSlice": {"offset": 0, "length": HOLDING_BYTES},
            }
            try:
                answer: _OwnedAnswer = await self.pool.call(
                    "getTokenAccountsByOwner", [wallet, {"programId": program}, config], _OwnedAnswer
                )
            except PermanentRpcError as error:
                # A cluster without Token-2022 does not know its address. Any other refusal is one to be heard of:
                # a node that does not index the program would hide every account of it.
                if program == TOKEN_PROGRAM or error.code != _INVALID_PARAMS:
                    raise
                continue
            found += [_owned(item, program, answer.context.slot) for item in answer.value]
        return found

    async def account(self, address: str, *, commitment: str = "confirmed") -> tuple[int, AccountState | None]:
        """The slot the node answered at, and the account there; `None` when it does not exist."""
        answer: _AccountAnswer = await self.pool.call(
            "getAccountInfo", [address, {"commitment": commitment, "encoding": "base64"}], _AccountAnswer
        )
        slot = answer.context.slot
        return slot, _state(answer.value, slot) if answer.value else None

    async def accounts(
        self,
        addresses: list[str],
        *,
        commitment: str,
        min_context_slot: int | None = None,
        at: Endpoint | None = None,
    ) -> tuple[int, list[AccountState | None]]:
        """As `account`, for at most 100 addresses in one call; of any endpoint, or of `at` alone."""
        config: dict[str, Any] = {"commitment": commitment, "encoding": "base64"}
        if min_context_slot is not None:
            config["minContextSlot"] = min_context_slot
        answer: _AccountsAnswer = await self.pool.call(
            "getMultipleAccounts", [addresses, config], _AccountsAnswer, at=at
        )
        slot = answer.context.slot
        return slot, [_state(account, slot) if account else None for account in answer.value]

    async def signature_statuses(self, signatures: list[str]) -> tuple[int, list[SignatureStatus | None]]:
        """The slot the node answered at, and where each of at most 256 transactions stands there.

        The whole history is searched: without that, `None` would say nothing about older ones.
        """
        answer: _StatusesAnswer = await self.pool.call(
            "getSignatureStatuses", [signatures, {"searchTransactionHistory": True}], _StatusesAnswer
        )
        return answer.context.slot, answer.value

    async def statuses_of_each(self, signatures: list[str]) -> list[EndpointStatuses]:
        """What each endpoint says of at most 256 transactions, without help of the others.

        Once enough have answered, one that takes much longer counts as one that did not.
        """
        said: dict[str, EndpointStatuses] = {}

        async def ask(endpoint: Endpoint) -> None:
            params = [signatures, {"searchTransactionHistory": True}]
            try:
                answer: _StatusesAnswer = await self.pool.call(
                    "getSignatureStatuses", params, _StatusesAnswer, attempts=1, at=endpoint
                )
            except RpcError as error:
                said[endpoint.url] = EndpointStatuses(endpoint.name, 0, None, str(error))
                raise
            said[endpoint.url] = EndpointStatuses(endpoint.name, answer.context.slot, answer.value)

        await ask_each(self.pool, ask, enough=self.pool.agreeing_min)
        return [
            said.get(endpoint.url) or EndpointStatuses(endpoint.name, 0, None, f"{endpoint.name} is too slow")
            for endpoint in self.pool.endpoints
        ]

    async def simulate(
        self, transaction: str, *, accounts: list[str], commitment: str, at: Endpoint | None = None
    ) -> Simulation:
        """What a transaction would do, with the blockhash that it names and whatever its signatures are.

        Args:
            transaction: Its bytes in base64.
            accounts: Addresses of the transaction that are read afterwards.
            commitment: The state that it is tried on.
            at: The endpoint to ask; any of them without it.
        """
        config = {
            "encoding": "base64",
            "commitment": commitment,
            "sigVerify": False,
            "replaceRecentBlockhash": False,
            "accounts": {"encoding": "base64", "addresses": accounts},
        }
        answer: _SimulationAnswer = await self.pool.call(
            "simulateTransaction", [transaction, config], _SimulationAnswer, at=at
        )
        slot, value = answer.context.slot, answer.value
        states = [_state(one, slot) if one else None for one in value.accounts or [None] * len(accounts)]
        return Simulation(slot, value.err, value.logs or [], states)

    async def block_height(self, commitment: str) -> int:
        """The number of blocks below the newest one at `commitment`; skipped slots have none."""
        height: int = await self.pool.call("getBlockHeight", [{"commitment": commitment}], Slot)
        return height

    async def first_available_block(self) -> int:
        """The lowest slot whose block this node can still serve."""
        slot: int = await self.pool.call("getFirstAvailableBlock", [], Slot)
        return slot

    async def blocks(self, first: int, last: int) -> list[int]:
        """The slots from `first` through `last` that have a finalized block."""
        slots: list[int] = await self.pool.call("getBlocks", [first, last, {"commitment": "finalized"}], list[int])
        return slots

    async def block_time(self, slot: int) -> int | None:
        """When the block of `slot` was made, in seconds since 1970, as the node estimates it."""
        time: int | None = await self.pool.call("getBlockTime", [slot], int | None)
        return time

    async def slot(self, commitment: str = "confirmed") -> int:
        """The newest slot at `commitment`."""
        slot: int = await self.pool.call("getSlot", [{"commitment": commitment}], Slot)
        return slot

    async def epoch(self) -> int:
        """The epoch that is current at `confirmed`."""
        info: _EpochInfo = await self.pool.call("getEpochInfo", [{"commitment": "confirmed"}], _EpochInfo)
        return info.epoch


def _state(account: _Account, slot: int) -> AccountState:
    return AccountState(slot, account.owner, account.lamports, account.data[0], account.executable)


def _owned(item: _KeyedAccount, program: str, slot: int) -> OwnedTokenAccount:
    account = _state(item.account, slot)
    return OwnedTokenAccount(item.pubkey, account.token_mint, program, account.token_amount)
