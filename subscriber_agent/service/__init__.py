"""The agent as a service of the system: its definitions, its sign of life, and who keeps it running."""
