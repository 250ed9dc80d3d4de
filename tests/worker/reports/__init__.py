"""Tests of reconciliation reports."""
