"""What the operator is told, as far as the friend allows: reports and the task that sends them."""
