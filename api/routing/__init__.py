"""How every route reads its request, and answers each POST once for an Idempotency-Key."""
