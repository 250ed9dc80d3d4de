"""Health, readiness, metrics, and work that operators order."""
