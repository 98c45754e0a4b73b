"""Who the friend is: creds, their life, enrolment and joining, one agent an identity."""
