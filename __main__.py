"""`python -m adgram` runs the command line."""

from .programs.cli import main

if __name__ == "__main__":
    main()
