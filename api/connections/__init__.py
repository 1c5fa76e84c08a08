"""The layer between sockets and the HTTP parser: framing, deadlines, and a limit on connections."""
