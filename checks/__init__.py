"""What `make check` asks besides lint, types and layers: dependencies with known faults, secrets in the repository."""
