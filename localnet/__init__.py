"""A Solana chain in one process, for the demo, the tests and the benchmarks.

LiteSVM executes the real token programs; the ledger of blocks and the node's protocol are ours.

    async with Localnet.start() as net:
        print(net.rpc_url, net.ws_url)
"""

from localnet.chain import Chain
from localnet.genesis import FEE_MINT
from localnet.server import Localnet, serve

__all__ = ["FEE_MINT", "Chain", "Localnet", "serve"]
