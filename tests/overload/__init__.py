"""Overload and recovery in virtual time: the real shell and client over the catalog's twin and local Neon."""
