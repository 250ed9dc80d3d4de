"""Sends what happens to the addresses that want it, until each has it."""
