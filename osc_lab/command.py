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

"""Bases of all commands, and the only place that makes exit codes.

A command returns what it saw and raises :class:`exceptions.LabError`
for what a user has to know; this module prints one line for the error
and turns it into the exit code.  Arguments are parsed before anybody
talks to the cloud, so bad input costs no request.
"""

import argparse
import collections.abc
import contextlib
import io
import os
import re
import typing

from osc_lib.command import command

from osc_lab import exceptions
from osc_lab import i18n
from osc_lab.i18n import _

if typing.TYPE_CHECKING:
    import openstack.connection


class _Paragraphs(argparse.HelpFormatter):
    """Keeps paragraphs apart, and indented ones as they are.

    The documents read two colons before these; people need one.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return '\n\n'.join(
            part
            if part.startswith(' ')
            else super(_Paragraphs, self)._fill_text(
                re.sub('::$', ':', part), width, indent
            )
            for part in text.split('\n\n')
        )


class Command(command.Command):
    """Base of a command without a result to format."""

    #: Calls that the help shows.
    examples: typing.ClassVar[tuple[str, ...]] = ()

    #: The shell would log in before the arguments are parsed, and print
    #: errors of its own; see authenticate().
    auth_required = False

    #: Whether the command needs a cloud at all.
    cloud_required: typing.ClassVar[bool] = True

    #: What run() returns after complete output.
    exit_code: exceptions.ExitCode = exceptions.ExitCode.DONE

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        # cliff's own does the rest.
        formatter: typing.Any = parser.formatter_class

        class HelpFormatter(_Paragraphs, formatter):
            pass

        parser.formatter_class = HelpFormatter
        return parser

    def get_epilog(self) -> str:
        """Return what the help ends with, as reStructuredText."""
        calls = '\n'.join(f'  {line}' for line in self.examples)
        codes = '; '.join(
            f'{code:d} {code.meaning}' for code in exceptions.ExitCode
        )
        parts = [
            _('Examples::') if calls else '',
            calls,
            _('Exit status: %s.') % codes,
            *(hook.obj.get_epilog() for hook in self._hooks if hook.obj),
            # cliff reads the metadata of every package for this.
            _('This command is provided by the osc-lab plugin.'),
        ]
        return '\n\n'.join(filter(None, parts))

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit code."""
        from osc_lab import secrecy

        self.exit_code = exceptions.ExitCode.DONE
        if isinstance(self.app.stdout, io.TextIOWrapper):
            # A tenant's name for which the locale has no characters is no
            # reason to lose the result.
            self.app.stdout.reconfigure(errors='backslashreplace')
        with secrecy.kept(), i18n.libraries_in_english():
            return self._guarded(parsed_args)

    def _guarded(self, parsed_args: argparse.Namespace) -> int:
        from osc_lab import channels
        from osc_lab import plan

        try:
            with plan.interruptible():
                self.judge(parsed_args)
                channels.judge(parsed_args, os.environ)
                if self.cloud_required:
                    self.authenticate()
                code = super().run(parsed_args)
        except exceptions.LabError as error:
            self.log.debug('failed', exc_info=True)
            return self._failed(error)
        except exceptions.Interrupted as error:
            self.log.error('%s', error)
            return exceptions.ExitCode.INTERRUPTED
        except BrokenPipeError:
            raise
        except Exception as error:
            from osc_lab.access import cloud

            self.log.debug('failed', exc_info=True)
            return self._failed(cloud.explain(error))
        return code or self.exit_code

    def judge(self, parsed_args: argparse.Namespace) -> None:
        """Refuse arguments that cannot be right, before the log-in.

        :raises InvalidInput: for the first one that is wrong
        """

    def authenticate(self) -> None:
        """Log in as the shell does for its own commands.

        :raises AccessError: when the cloud refuses or does not answer
        """
        from osc_lab.access import cloud
        from osc_lab.access import settings
        from osc_lab import secrecy

        app = typing.cast(typing.Any, self.app)
        secrecy.learn(secrecy.of_login(app.cloud.config['auth']))
        try:
            self.auth_required = True
            # As if the shell had such an option: it would wait for ever.
            app.options.api_timeout = settings.login_timeout(app)
            app.prepare_to_run_command(self)
            # One that was asked for at the terminal came only now.
            secrecy.learn(secrecy.of_login(app.cloud.config['auth']))
            access = app.client_manager.auth_ref
            secrecy.learn([getattr(access, 'auth_token', None)])
        except Exception as error:
            raise cloud.explain_login(error) from error
        finally:
            self.auth_required = False
            app.options.api_timeout = None

    @property
    def connection(self) -> 'openstack.connection.Connection':
        """The SDK connection of the cloud that the user chose."""
        manager = typing.cast(typing.Any, self.app.client_manager)
        return typing.cast(
            'openstack.connection.Connection', manager.sdk_connection
        )

    def say(self, text: str) -> None:
        """Tell the user something that is neither result nor error.

        What cannot be written, to a full disk or a terminal that is gone,
        changes no result.
        """
        from osc_lab import secrecy

        shown = exceptions.printable(secrecy.hidden(text))
        try:
            self.app.stderr.write(shown + '\n')
        except BrokenPipeError:
            raise
        except OSError:
            return

    @contextlib.contextmanager
    def printing(self) -> collections.abc.Iterator[None]:
        """Print a result in here.

        :raises LabError: when the output takes nothing; with the exit code
            of the result, unless that is 0
        """
        try:
            yield
            # What is told at the end of the process nobody can act on.
            self.app.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _discard(self.app.stdout)
            lost = exceptions.LabError(
                _('The result cannot be written: %s')
                % (error.strerror or error),
                _('The command is done; look before you repeat it.'),
            )
            lost.exit_code = self.exit_code or lost.exit_code
            raise lost from error

    def _failed(self, error: exceptions.LabError) -> int:
        self.log.error('%s', error)
        return error.exit_code


class _Formatted(Command):
    """What commands with a result to format have in common."""

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: collections.abc.Iterable[str],
        data: typing.Any,
    ) -> int:
        """Print the result.

        :raises LabError: when no column has a name that -c asks for
        """
        names = tuple(column_names)
        # The formatters are mixed in behind this class.
        formatted = typing.cast(typing.Any, super())
        try:
            with self.printing():
                code = formatted.produce_output(parsed_args, names, data)
            return int(code or 0)
        except ValueError as error:
            if 'No recognized column' not in str(error):
                raise
            raise exceptions.LabError(
                _('-c: there is no column "%s"')
                % ', '.join(parsed_args.columns),
                _('Use one of these: %s.') % ', '.join(names),
            ) from error


def _discard(stream: typing.TextIO) -> None:
    """Forget what a stream could not write.

    Python tries again at the end, and then ends with a code of its own.
    """
    with contextlib.suppress(OSError), open(os.devnull, 'wb') as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


class Lister(_Formatted, command.Lister):
    """Base of a command that prints rows."""


class ShowOne(_Formatted, command.ShowOne):
    """Base of a command that prints one resource."""
