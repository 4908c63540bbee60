"""The one exception that a person is meant to read."""


class InputError(Exception):
    """Bad input that the caller can mend: a file, a parameter, a port, a recording.

    The message names what is wrong and where; ``hint`` says what to do about it. The command line
    prints both and exits with ``exit_code``, a node logs them and stays unconfigured.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  → {self.hint}" if self.hint else message
