"""How a command ends when it cannot do what it was asked."""

FAILED, CANCELLED, STILL_RUNNING, REFUSED, UNREACHABLE = 1, 3, 4, 5, 6


class CliError(Exception):
    """One sentence for the person at the terminal."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
