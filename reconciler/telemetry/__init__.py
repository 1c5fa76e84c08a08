"""Metrics and log records of the reconciler, and of the catalog's stats."""
