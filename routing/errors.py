"""What a user can get wrong: one line on stderr, exit code 2. A programmer's mistake is a ``ValueError``, a crash."""

import os


class InputError(Exception):
    """A mistake in what the user gave: a file, a name, a number.

    Parameters
    ----------
    message : what is wrong and what was expected, one line
    path : the file it is in
    line : the line of that file, from 1
    """

    def __init__(self, message: str, path: str | os.PathLike[str] | None = None, line: int | None = None) -> None:
        super().__init__(message, path, line)
        self.message = message
        self.path = path
        self.line = line

    def __str__(self) -> str:
        """``path:line: message``, without the parts that are not known."""
        where = "" if self.path is None else f"{os.fspath(self.path)}:"
        where += "" if self.line is None else f"{self.line}:"
        return f"{where} {self.message}" if where else self.message


class InvalidLink(InputError):
    """A link that no topology can have; `link` is its index in the order in which the caller gave the links."""

    def __init__(self, message: str, link: int) -> None:
        super().__init__(message)
        self.link = link


class DisconnectedTopology(InputError):
    """Some node cannot be reached, so some demand would have no path."""
