"""`python -m signal_admin` is the `catalyst` command."""

from signal_admin.cli import main

if __name__ == "__main__":
    main()
