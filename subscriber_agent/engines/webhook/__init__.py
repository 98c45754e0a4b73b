"""The webhook engine: orders are posted to a receiver over HTTPS, signed, and never posted twice."""
