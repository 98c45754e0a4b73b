"""`catalyst doctor`: what is measured on the operator's side, and what it amounts to."""
