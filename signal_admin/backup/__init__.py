"""Backup, restore and verification of a whole wire: streams with their durables, keys, users, settings, outbox."""
