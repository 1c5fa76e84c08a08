"""Apps and their history."""
