"""The names that x402 gives to Solana's clusters. Source: CAIP-2 for Solana, and the networks of protocol version 1."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class X402Network:
    """A cluster as each version of the protocol names it."""

    caip2: str
    legacy_name: str

    def name(self, version: int) -> str:
        """What the cluster is called in this version of the protocol, 1 or 2."""
        return self.legacy_name if version == 1 else self.caip2


_DEVNET: Final = X402Network("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "solana-devnet")
_NETWORKS: Final = {
    "mainnet-beta": X402Network("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "solana"),
    "testnet": X402Network("solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z", "solana-testnet"),
    "devnet": _DEVNET,
    # Published clients know no other networks than these three, and the localnet has devnet's mints.
    "localnet": _DEVNET,
}


def network_of(cluster: str) -> X402Network:
    """The names of a cluster that SOLANA_NETWORK can name."""
    return _NETWORKS[cluster]
