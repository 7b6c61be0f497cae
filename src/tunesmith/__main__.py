"""`python -m tunesmith` is the command `tunesmith`."""

from tunesmith.cli.main import main

main()
