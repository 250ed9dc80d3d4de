"""Measurements: each compares a figure with a ceiling that is measured in the same run on the same machine."""
