"""What the command-line packages of all three parts share: rendering an answer, catching errors."""
