"""Benchmarks: the product and something bare side by side in one run, so that only ratios count."""
