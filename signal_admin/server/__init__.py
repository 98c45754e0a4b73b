"""Runs nats-server: finds it, writes its configuration, starts, watches, restarts and stops it."""
