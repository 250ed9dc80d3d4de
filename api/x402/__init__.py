"""The facilitator of the x402 protocol: payments that the buyer signs and this service pays the fee of."""
