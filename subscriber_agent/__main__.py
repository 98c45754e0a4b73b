"""`python -m subscriber_agent` is the `subscriber-agent` command."""

from subscriber_agent.cli import main

if __name__ == "__main__":
    main()
