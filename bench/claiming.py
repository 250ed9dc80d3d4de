"""The SQL statements of a verification without HTTP: what the database costs."""

import itertools
import os
from typing import Any

from ledger.claims import ClaimKey, Terms, honour, read_contexts
from ledger.judge import Claim, judge

# More than one process may claim in one ledger.
_nonces = (f"bench-{os.getpid()}-{n}" for n in itertools.count(1))


async def claim(connection: Any, payment: Any) -> None:
    """Verify `payment`, a row of transfers with its merchant and its token's symbol, as the API does.

    The proof itself is not checked, because that does not use the database.
    """
    nonce = next(_nonces)
    proof = ClaimKey(payment["user_id"], nonce, payment["signature"], payment["source_owner"])
    (context,) = await read_contexts(connection, [proof])
    claimed = Claim(
        payment["source_owner"],
        context.wallets,
        frozenset({payment["mint"]}),
        amount=payment["amount"],
        least_amount=payment["amount"],
    )
    verdict = judge(claimed, context.transfers)
    assert verdict.is_honoured, verdict
    assert verdict.transfer is not None
    assert context.merchant is not None
    terms = Terms(context.merchant, nonce, payment["signature"], claimed, payment["mint"], payment["symbol"])
    honoured = await honour(connection, [(terms, verdict.transfer)])
    assert honoured, "somebody else has claimed it"
