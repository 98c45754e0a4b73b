"""What the operator measures beside `catalyst up`: the server, the streams, the friends' durables and reports."""
