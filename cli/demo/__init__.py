"""What `pay402 demo` shows."""
