# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Errors that a user may see: one line, the remedy, the exit code."""

import enum
import unicodedata

from osc_lab.i18n import _


class ExitCode(enum.IntEnum):
    """A command's exit status, and what it means.

    The help of every command and the documents say it in these words.
    """

    meaning: str

    DONE = 0, _('done, or every check passed')
    COULD_NOT_RUN = 1, _('could not run')
    USAGE = 2, _('wrong command line, nothing was changed')
    CHECK_FAILED = 3, _('a check failed, or something is not as asked')
    UNDECIDED = (
        4,
        _('undecided: a check could not look, or warned with --strict'),
    )
    OPERATION_FAILED = (
        5,
        _('it began and failed, and the output says what is left'),
    )
    INTERRUPTED = 130, _('interrupted')

    def __new__(cls, value: int, meaning: str) -> 'ExitCode':
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code


def printable(text: object) -> str:
    """Return text on one line, without characters that move a terminal.

    Names come from tenants and may hold escape sequences; every control,
    format, surrogate and line separator character becomes a visible
    escape.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return ''.join(
        char
        if unicodedata.category(char) not in ('Cc', 'Cf', 'Cs', 'Zl', 'Zp')
        else char.encode('unicode_escape').decode('ascii')
        for char in shown
    )


class LabError(Exception):
    """Base of all errors of this package.

    :param message: what went wrong, one line
    :param remedy: what the user can do about it, one line
    """

    exit_code = ExitCode.COULD_NOT_RUN

    def __init__(self, message: str, remedy: str = '') -> None:
        # Not needed by the commands of others, which load this module.
        from osc_lab import secrecy

        self.message = printable(secrecy.hidden(message))
        self.remedy = printable(secrecy.hidden(remedy))
        super().__init__(self.message)

    def __str__(self) -> str:
        if not self.remedy:
            return self.message
        return f'{self.message.rstrip(".")}. {self.remedy}'


class InvalidInput(LabError):
    """An option's value cannot be used; nothing was changed."""

    exit_code = ExitCode.USAGE


class NotFound(LabError):
    """A resource that the user named does not exist, or is not visible."""


class NoUniqueMatch(NotFound):
    """There is more than one resource of the name that the user gave."""


class AccessError(LabError):
    """A host or a service could not be reached or refused the caller."""


class ServiceError(AccessError):
    """A service refused a request, failed, or did not answer.

    :param status: HTTP status; None when there was no whole answer, so
        nobody knows whether the request was carried out
    :param retry_after: seconds that the service asks to wait, or None
    """

    def __init__(
        self,
        message: str,
        remedy: str = '',
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, remedy)
        self.status = status
        self.retry_after = retry_after

    @property
    def unclear(self) -> bool:
        """Whether the request may have been carried out all the same."""
        return self.status is None or self.status >= 500


class MissingLibrary(LabError):
    """An optional library that this command needs is not installed."""


class Conflict(LabError):
    """What was found differs from what was asked; it was left alone."""

    exit_code = ExitCode.CHECK_FAILED


class OperationFailed(LabError):
    """The operation started and failed.

    What was done is undone, or the message says what is left.
    """

    exit_code = ExitCode.OPERATION_FAILED


class UndoFailed(OperationFailed):
    """A step failed, and so did its undo; the rest must go by hand.

    Without an answer nobody knows whether there is a rest.

    :param message: what failed
    :param left: pairs of what may remain and the command that removes it
    """

    def __init__(self, message: str, left: list[tuple[str, str]]) -> None:
        self.left = tuple((printable(a), printable(b)) for a, b in left)
        super().__init__(
            message,
            _('May be left behind: %s')
            % '; '.join(
                _('%(what)s, remove it with: %(command)s')
                % {'what': what, 'command': command}
                for what, command in left
            ),
        )


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGHUP, treated as Ctrl-C is."""
