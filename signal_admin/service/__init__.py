"""The server as a service of the system: its unit, its sign of life."""
