"""The command engine: the friend's own program, in whatever language, spoken to in JSON lines."""
