"""A Solana chain in one process, for the demo, the tests and the benchmarks.

LiteSVM executes the real token programs; the ledger of blocks and the node's protocol are ours.

    async with Localnet.start() as net:
        print(net.rpc_url, net.ws_url)
"""

from pay402.localnet.chain import Chain
from pay402.localnet.genesis import FEE_MINT
from pay402.localnet.server import Localnet, serve

__all__ = ["FEE_MINT", "Chain", "Localnet", "serve"]
