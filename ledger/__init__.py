"""The truth: domain types, pure rules, named SQL. Imports nothing else of ours."""
