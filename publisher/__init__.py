"""The classifier's voice: reads findings, drafts signals, keeps them in a durable outbox, relays them in order."""
