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

"""What the openstack shell loads; imported on every call of it."""

import argparse
import typing

from osc_lib import utils

API_NAME = 'lab'
API_VERSION_OPTION = 'os_lab_api_version'
API_VERSIONS = ('1',)
DEFAULT_API_VERSION = '1'


def make_client(instance: typing.Any) -> typing.Any:
    """Return the SDK connection: osc-lab has no service of its own."""
    return instance.sdk_connection


def build_option_parser(
    parser: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    """Add the version option; without it the shell has no group."""
    parser.add_argument(
        '--os-lab-api-version',
        metavar='<lab-api-version>',
        default=utils.env('OS_LAB_API_VERSION', default=DEFAULT_API_VERSION),
        # Not translated, as in other plugins: what this module imports costs
        # each call of the shell.
        help=f'osc-lab command version, default: {DEFAULT_API_VERSION} '
        '(Env: OS_LAB_API_VERSION)',
    )
    return parser
