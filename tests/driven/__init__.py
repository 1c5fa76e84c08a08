"""The real driver under simulation: real daemons over a fake catalog and a fake Neon, in virtual time."""
