"""`subscriber-agent doctor`: what is measured on the friend's side, and what it amounts to."""
