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

"""How hosts are reached: options, environment and clouds.yaml.

The API tells much; the rest is on the hosts.  Each channel is optional.
An option wins over its environment variable, and that over the key of
the same name under ``osc_lab:`` in the cloud's entry of clouds.yaml.
"""

import argparse
import collections.abc
import dataclasses
import re
import typing
import urllib.parse

from osc_lab import exceptions
from osc_lab.i18n import _

Found = typing.TypeVar('Found')

#: Seconds that one host may take to answer before it counts as dead.
DEADLINE = 5.0

#: User information with a password, RFC 3986, 3.2.1, and without a scheme.
_PASSWORD = re.compile(r'(^|//)[^/@]*:[^/]*@')

_HOST = re.compile(r'[A-Za-z0-9_]([A-Za-z0-9_.:-]*[A-Za-z0-9_])?')


class Option(typing.NamedTuple):
    """A setting: its key in clouds.yaml, metavar and help."""

    key: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        return '--' + self.key.replace('_', '-')

    @property
    def variable(self) -> str:
        # Not OS_: the SDK takes each of these for a setting of the cloud
        # and fills in what stands in braces.
        return 'OSC_LAB_' + self.key.upper()


SSH = (
    Option(
        'ssh',
        '<destination>',
        _(
            'Reach hosts with OpenSSH, for example "root@{host}"; {host} is '
            'the compute service host, {host_ip} its address or what '
            'host_addresses says; "local" is this machine'
        ),
    ),
    Option('ssh_config', '<file>', _('Configuration file for OpenSSH')),
)
LIBVIRT = (
    Option(
        'libvirt_uri',
        '<uri>',
        _(
            'Reach libvirt on hosts, for example '
            '"qemu+tls://{host}/system"; any libvirt URI'
        ),
    ),
)
OVSDB = (
    Option(
        'ovsdb',
        '<remote>',
        _(
            'Reach the OVSDB of hosts: "ssl:{host}:6640", "tcp:...", '
            '"unix:..." or "ssh", the default with --ssh, which forwards '
            "the host's socket"
        ),
    ),
    Option(
        'ovsdb_ca_cert',
        '<file>',
        _('Certificate of the CA that signed the one of OVSDB'),
    ),
    Option('ovsdb_cert', '<file>', _('Client certificate for OVSDB')),
    Option('ovsdb_key', '<file>', _('Private key for OVSDB')),
)
ALL = (*SSH, *LIBVIRT, *OVSDB)


@dataclasses.dataclass(frozen=True)
class Host:
    """One host as the channels see it, with every template filled in.

    :param name: compute service host
    :param address: the address to reach it at
    :param ssh: OpenSSH destination, 'local', or None without a shell
    :param libvirt_uri: URI, or None without libvirt
    :param ovsdb: OVSDB remote, 'ssh', or None
    """

    name: str
    address: str
    ssh: str | None = None
    libvirt_uri: str | None = None
    ovsdb: str | None = None


@dataclasses.dataclass(frozen=True)
class Channels:
    """The settings of all channels; None means: not enabled.

    :param host_addresses: compute service host -> address to reach it
        at, where that differs from what the API says; only from
        clouds.yaml
    :param deadline: seconds that one host may take
    """

    ssh: str | None = None
    ssh_config: str | None = None
    libvirt_uri: str | None = None
    ovsdb: str | None = None
    ovsdb_ca_cert: str | None = None
    ovsdb_cert: str | None = None
    ovsdb_key: str | None = None
    host_addresses: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    deadline: float = DEADLINE

    def host(self, name: str, address: str = '') -> Host:
        """Return the channels of one host.

        :param name: compute service host, from the API
        :param address: its address, from the API; the name when unknown
        :raises AccessError: when what a template asks for could not stand
            in an address
        """
        address = of_host(self.host_addresses, name) or address or name
        ovsdb = self.ovsdb or ('ssh' if self.ssh else None)
        # OpenSSH takes brackets in a URI alone.
        bare = self.ssh is not None and not self.ssh.startswith('ssh://')
        return Host(
            name,
            address,
            _fill(self.ssh, name, address, bare),
            _fill(self.libvirt_uri, name, address),
            _fill(ovsdb, name, address),
        )


def of_host(
    found: collections.abc.Mapping[str, Found], name: str
) -> Found | None:
    """Return what a mapping in clouds.yaml has for a host.

    The SDK writes "_" for each "-" in its keys.

    :param name: compute service host
    """
    return found.get(name, found.get(name.replace('-', '_')))


def _fill(
    template: str | None, name: str, address: str, bare: bool = False
) -> str | None:
    if template is None:
        return None
    bracketed = f'[{address}]' if ':' in address and not bare else address
    for field, value, text in (
        ('{host_ip}', address, bracketed),
        ('{host}', name, name),
    ):
        if field not in template:
            continue
        if not _HOST.fullmatch(value):
            raise exceptions.AccessError(
                _('The host name "%s" cannot be used in an address') % value,
                _(
                    'Write {host_ip} for {host}, and name its address in '
                    'host_addresses under osc_lab in clouds.yaml.'
                ),
            )
        template = template.replace(field, text)
    return template


def add_arguments(
    parser: argparse.ArgumentParser,
    options: collections.abc.Iterable[Option] = ALL,
) -> None:
    """Add options for the channels that a command uses."""
    group = parser.add_argument_group(
        _('access to hosts'),
        _(
            'Each option can also be set by an environment variable '
            '(OSC_LAB_...) or by a key of the same name under "osc_lab" in '
            'clouds.yaml.'
        ),
    )
    for option in options:
        group.add_argument(
            option.flag, metavar=option.metavar, help=option.help
        )
    group.add_argument(
        '--host-timeout',
        metavar='<seconds>',
        help=_('How long one host may take to answer (default: %g)')
        % DEADLINE,
    )


def judge(
    parsed_args: argparse.Namespace,
    environ: collections.abc.Mapping[str, str],
) -> None:
    """Refuse what option and environment say of the channels.

    A command that has none is let pass.

    :raises InvalidInput: for a value that cannot be used
    """
    if hasattr(parsed_args, 'host_timeout'):
        resolve(parsed_args, environ, {})


def resolve(
    parsed_args: argparse.Namespace,
    environ: collections.abc.Mapping[str, str],
    cloud: collections.abc.Mapping[str, typing.Any],
) -> Channels:
    """Return the channels that option, environment or cloud enable.

    :param cloud: the ``osc_lab`` mapping of the cloud, may be empty
    :raises InvalidInput: for a value that cannot be used
    """
    values: dict[str, typing.Any] = {}
    for option in ALL:
        value = (
            getattr(parsed_args, option.key, None)
            or environ.get(option.variable)
            or cloud.get(option.key)
        )
        if value is not None:
            values[option.key] = _text(option, value)
    addresses = cloud.get('host_addresses') or {}
    if not isinstance(addresses, collections.abc.Mapping):
        raise exceptions.InvalidInput(
            _('osc_lab: host_addresses in clouds.yaml is not a mapping'),
            _('Write one "host: address" a line.'),
        )
    values['host_addresses'] = {
        str(host): str(address) for host, address in addresses.items()
    }
    values['deadline'] = _deadline(
        getattr(parsed_args, 'host_timeout', None)
        or environ.get('OSC_LAB_HOST_TIMEOUT')
        or cloud.get('host_timeout')
    )
    return Channels(**values)


def _text(option: Option, value: object) -> str:
    # An address of IPv6 gets brackets where they are needed.
    text = str(value).replace('[{host_ip}]', '{host_ip}')
    if text.startswith('-') or exceptions.printable(text) != text:
        raise exceptions.InvalidInput(
            _('%(flag)s: "%(value)s" cannot be used')
            % {'flag': option.flag, 'value': text},
            _('Give it as in the help of the command.'),
        )
    if _PASSWORD.search(text):
        raise exceptions.InvalidInput(
            _('%s: a password has no place in an address') % option.flag,
            _("Everybody may see it there; use keys, or libvirt's auth.conf."),
        )
    if option.key == 'libvirt_uri':
        _verified(option, text)
    return text


def _verified(option: Option, uri: str) -> None:
    """Refuse a URI that takes any host for the right one.

    libvirt reads parameters as src/util/viruri.c does, without regard to
    case, and takes any number but 0 for true.
    """
    try:
        query = urllib.parse.urlsplit(uri).query.replace(';', '&')
    except ValueError as error:
        raise exceptions.InvalidInput(
            _('%(flag)s: "%(uri)s" cannot be used: %(why)s')
            % {'flag': option.flag, 'uri': uri, 'why': error},
            _('Write it like qemu+tls://{host}/system.'),
        ) from error
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if (name.lower() == 'no_verify' and value.strip() != '0') or (
            name.lower() == 'known_hosts_verify' and value != 'normal'
        ):
            raise exceptions.InvalidInput(
                _('%(flag)s: %(name)s=%(value)s would trust any host')
                % {'flag': option.flag, 'name': name, 'value': value},
                _('Give the CA with pkipath=, or accept the host key first.'),
            )


def _deadline(value: object) -> float:
    if value is None:
        return DEADLINE
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 600:
        raise exceptions.InvalidInput(
            _('--host-timeout: "%s" is not a number of seconds') % value,
            _('Use a number between 0 and 600.'),
        )
    return seconds
