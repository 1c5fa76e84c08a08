"""What stands between a socket and the HTTP parser: framing, deadlines, and a limit on connections."""
