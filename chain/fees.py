"""Token-2022 transfer fees, as the mints' own accounts have them."""

from collections.abc import Iterable

from chain.decode import FeeRule
from chain.node import Node
from chain.programs import TOKEN_2022_PROGRAM
from ledger.observation import Unexplained


async def fee_rules(node: Node, findings: Iterable[Unexplained]) -> dict[str, FeeRule]:
    """Return by mint the fee that is in force now, for the mints in `findings` that have one.

    A rule that has changed since the transaction does not add up there, and the finding stays.
    """
    rules: dict[str, FeeRule] = {}
    for mint in {finding.mint for finding in findings if finding.mint}:
        _, account = await node.account(mint)
        if account is not None and account.program == TOKEN_2022_PROGRAM:
            fee = account.transfer_fee(await node.epoch())
            if fee is not None:
                rules[mint] = fee.of
    return rules
