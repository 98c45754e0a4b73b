"""The paper engine: `market` and `matching` say what fills, `store` keeps it, `engine` is what the agent talks to."""
