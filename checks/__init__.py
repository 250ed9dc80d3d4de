"""What `make check` asks besides lint, types and layers: cycles, named queries, known faults, secrets."""
