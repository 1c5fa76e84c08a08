"""The command line, and how its processes serve, log and stop."""
