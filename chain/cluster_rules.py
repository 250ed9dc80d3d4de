"""What the cluster itself fixes, in its own units.

Sources: the Solana documentation on transaction confirmation and expiration, and on fees.
"""

from typing import Final

BLOCKHASH_LIFETIME_BLOCKS: Final = 150
"""A transaction can land in so many blocks after the one whose hash it names, and never later."""

LAMPORTS_PER_SIGNATURE: Final = 5_000
"""What each signature of a transaction costs."""

MICROLAMPORTS: Final = 1_000_000
"""In a lamport: the unit of prices of compute units."""

SLOT_SECONDS: Final = 0.4
"""What a slot takes on the public clusters; some have no block."""
