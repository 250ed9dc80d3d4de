"""Watches what the fee payers hold: one without SOL settles nothing, and nobody could pay over x402."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import structlog

from api.metrics import ApiMetrics
from chain.node import ACCOUNTS_PER_CALL, Node
from chain.rpc import RpcError

_log = structlog.get_logger(__name__)

_EVERY_SECONDS: Final = 15.0

FeePayerStatus = Literal["ok", "low", "unknown", "off"]
"""How the poorest fee payer stands; `unknown` until a node has answered, `off` where nothing is settled over x402."""


class FeePayerBalances:
    """The lamports of the fee payers, those that are no longer advertised included.

    Attributes:
        lowest_lamports: What the poorest of them holds; `None` until a node has answered.
        lamports: What each of them holds; empty until a node has answered.
        low_lamports: Less than that is low.
    """

    def __init__(self, node: Node, addresses: Sequence[str], low_lamports: int, metrics: ApiMetrics) -> None:
        self._node = node
        self._addresses = list(addresses)[:ACCOUNTS_PER_CALL]
        self.low_lamports = low_lamports
        self._metrics = metrics
        self.lowest_lamports: int | None = None
        self.lamports: Mapping[str, int] = {}

    @property
    def status(self) -> FeePayerStatus:
        """How the poorest of them stands."""
        if not self._addresses:
            return "off"
        if self.lowest_lamports is None:
            return "unknown"
        return "low" if self.lowest_lamports < self.low_lamports else "ok"

    async def run(self) -> None:
        """Look again and again, until cancelled; a node that is away leaves things as they were seen last."""
        while self._addresses:
            try:
                await self.look()
            except RpcError as error:
                _log.info("fee_payers_not_seen", error=str(error))
            await asyncio.sleep(_EVERY_SECONDS)

    async def look(self) -> None:
        """Ask a node once. Raises RpcError."""
        was = self.status
        _, accounts = await self._node.accounts(self._addresses, commitment="confirmed")
        held = [account.lamports if account else 0 for account in accounts]
        self.lamports = dict(zip(self._addresses, held, strict=True))
        self.lowest_lamports = min(held)
        self._metrics.fee_payer_lamports.set(self.lowest_lamports)
        self._metrics.fee_payer_low_lamports.set(self.low_lamports)
        if self.status == "low" and was != "low":
            _log.warning(
                "fee_payer_low",
                lamports=self.lowest_lamports,
                hint="send SOL to the fee payers that pay402 doctor names, or nothing of theirs is settled over x402",
            )
