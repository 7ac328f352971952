"""`python -m eutectic`."""

from eutectic.cli.main import main

main()
