"""The whole system for minutes or hours, as an operator runs it, with payers paying and parts restarted at random."""
