"""The process itself: probes, metrics and the API's description."""
