"""Recorded answers of nodes, decoded for people and scripts."""
