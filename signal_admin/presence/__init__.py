"""Who is there: the registry, the server's word and each agent's own word as one row a friend, and the wire itself."""
