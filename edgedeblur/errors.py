"""The one exception that reaches the user as a message instead of a traceback."""

import signal

INTERRUPTED = 130  # exit code of work that the user stopped, 128 + SIGINT as shells have it


class Terminated(BaseException):
    """SIGTERM or SIGHUP came; raised where the program is, so that child processes and temporary files are cleaned up.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number  # as shells have it


class UserError(Exception):
    """Something the user can fix: a bad file, a bad value, a missing tool.

    Args:
        message: what was wrong, with the value and what is allowed.
        fix: the command or action that fixes it; printed on its own line.
        exit_code: 1 for failed work, 2 for bad use (DESIGN: `bench` keeps 3 for a failed verdict).
    """

    def __init__(self, message: str, fix: str | None = None, exit_code: int = 1):
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message if self.fix is None else f"{self.message}\n  {self.fix}"
