"""Payment requests, the transfers that paid them, and the wallets that are paid."""
