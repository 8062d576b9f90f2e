"""`python -m cronium_app.cli` is `cronium`."""

from cronium_app.cli import main

main()
