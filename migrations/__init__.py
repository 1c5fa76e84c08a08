"""Schemas, applied with yoyo: ``catalog`` is the control plane's own database."""
