"""Measurements, each a ratio against a ceiling measured in the same run on the same machine."""
