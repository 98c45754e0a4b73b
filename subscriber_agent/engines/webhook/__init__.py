"""The engine `webhook`."""
