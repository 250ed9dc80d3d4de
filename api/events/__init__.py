"""What happened to a caller's money: as pages, as a live stream, and as models that describe every event."""
