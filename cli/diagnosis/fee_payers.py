"""The fee payers of x402: with keys that can be used, and SOL to pay fees with."""

from collections.abc import Sequence
from typing import Final

from api.settings import ApiSettings
from api.x402.fee_payers import load_fee_payers
from chain.node import Node
from chain.rpc import RpcError, RpcLimits, RpcPool
from cli.diagnosis.diagnoses import Diagnosis, bad, doubtful, from_sentence, good
from runtime.errors import OperatorError

_PART = "x402"
_LIMITS = RpcLimits(answer_seconds=8.0, attempts=2, call_seconds=16.0)
# Source: the rent of an account of no bytes, below which no transaction may leave its fee payer.
_RENT_LAMPORTS: Final = 890_880
_FEE_LAMPORTS_MAX: Final = 16_000


async def examine(settings: ApiSettings, rpc_urls: Sequence[str]) -> list[Diagnosis]:
    """A diagnosis for each fee payer, retired ones included; none where nothing is settled over x402."""
    try:
        addresses = list(load_fee_payers(settings).addresses)
    except OperatorError as error:
        return [from_sentence(_PART, "fee payer", str(error))]
    if not addresses:
        return []
    async with RpcPool(rpc_urls, _LIMITS) as pool:
        try:
            _, accounts = await Node(pool).accounts(addresses, commitment="confirmed")
        except RpcError as error:
            return [doubtful(_PART, "fee payer", str(error), "mend the node, and run this again")]
    held = [account.lamports if account else 0 for account in accounts]
    return [_diagnosis(address, lamports, settings) for address, lamports in zip(addresses, held, strict=True)]


def _diagnosis(address: str, lamports: int, settings: ApiSettings) -> Diagnosis:
    check, detail, remedy = f"fee payer {address}", f"it holds {lamports} lamports", f"send SOL to {address}"
    if lamports < _RENT_LAMPORTS + _FEE_LAMPORTS_MAX:
        return bad(_PART, check, f"{detail}, too few for one payment", remedy)
    if lamports < settings.x402_low_lamports:
        return doubtful(_PART, check, f"{detail}, fewer than X402_LOW_LAMPORTS", remedy)
    return good(_PART, check, detail)
