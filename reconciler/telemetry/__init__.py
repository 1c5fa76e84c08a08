"""What a process measures and says of the loop: metrics, the records of changes at Neon, the catalog's figures."""
