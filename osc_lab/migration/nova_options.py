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

"""The options of Nova that decide how a live migration runs.

Names, defaults and rules are those of nova/conf/libvirt.py and
nova.virt.libvirt.driver (_live_migration_flags, _live_migration_uri,
_live_migration_completion_timeout) of Nova 29 to 34.
"""

import collections.abc
import dataclasses
import re

#: section -> options that are read from nova.conf on a host; none of them
#: is a secret.
WANTED: dict[str, tuple[str, ...]] = {
    'DEFAULT': (
        'host',
        'my_ip',
        'state_path',
        'instances_path',
    ),
    'libvirt': (
        'virt_type',
        'cpu_mode',
        'cpu_models',
        'cpu_model',
        'cpu_model_extra_flags',
        'images_type',
        'file_backed_memory',
        'live_migration_uri',
        'live_migration_scheme',
        'live_migration_inbound_addr',
        'live_migration_tunnelled',
        'live_migration_with_native_tls',
        'live_migration_permit_post_copy',
        'live_migration_permit_auto_converge',
        'live_migration_parallel_connections',
        'live_migration_bandwidth',
        'live_migration_downtime',
        'live_migration_downtime_steps',
        'live_migration_downtime_delay',
        'live_migration_completion_timeout',
        'live_migration_timeout_action',
    ),
    'workarounds': ('skip_cpu_compare_on_dest',),
}

#: scheme -> default port of libvirt
PORTS = {'tcp': 16509, 'tls': 16514, 'ssh': 22}

#: What other options may name, where it is not set.
_DEFAULTS = {
    'state_path': '/var/lib/nova',
    'instances_path': '$state_path/instances',
}

#: The name of an option in a value (oslo_config.cfg, ConfigOpts.Template);
#: a dollar sign that is none stands behind another one or a backslash.
_REFERENCE = re.compile(
    r'[$\\]\$|\$(?:\{([a-z_][a-z0-9_.]*)\}|([a-z_][a-z0-9_.]*))', re.I
)

#: Options that name each other would go on for ever, and grow.
_ROUNDS = 3
_LONGEST = 4096

Values = collections.abc.Mapping[str, collections.abc.Mapping[str, str]]


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of one host, with Nova's defaults filled in.

    :param bandwidth_mib_s: 0 is unlimited
    :param downtime_ms: the most that the last step allows
    :param delay_s: of a downtime step, seconds per GiB
    :param timeout_s: seconds per GiB; 0 is none
    :param cpu_model_extra_flags: sorted, in lower case and without "+"
    :param files: whether the memory of guests lies in files
    """

    uri: str = ''
    scheme: str = 'tcp'
    inbound: str = ''
    tunnelled: bool = False
    native_tls: bool = False
    post_copy: bool = False
    auto_converge: bool = False
    connections: int = 1
    bandwidth_mib_s: int = 0
    downtime_ms: int = 500
    steps: int = 10
    delay_s: int = 75
    timeout_s: int = 800
    timeout_action: str = 'abort'
    instances_path: str = '/var/lib/nova/instances'
    cpu_mode: str = ''
    cpu_models: str = ''
    cpu_model_extra_flags: str = ''
    files: bool = False
    images_type: str = 'default'
    virt_type: str = 'kvm'
    skip_cpu_compare: bool = False

    @property
    def forces(self) -> bool:
        """Whether Nova makes a migration end when its time is over.

        It switches to post-copy where that is permitted, and pauses the
        guest where not (nova.virt.libvirt.migration, run_tasks).
        """
        return self.timeout_s > 0 and self.timeout_action == 'force_complete'

    @property
    def effective_scheme(self) -> str:
        """The transport between the two libvirt daemons."""
        if self.uri:
            return self.uri.partition('://')[0].partition('+')[2] or 'unix'
        return self.scheme or 'tcp'

    def folder(self, server_id: str) -> str:
        """Return where Nova keeps what a server has on this host."""
        return f'{self.instances_path}/{server_id}'

    def destination_uri(self, host: str) -> str:
        """Return what the source's libvirt connects to.

        :param host: inbound address of the destination, or its name
        """
        bracketed = f'[{host}]' if ':' in host else host
        if self.uri:
            return self.uri.replace('%s', bracketed)
        return f'qemu+{self.scheme or "tcp"}://{bracketed}/system'

    def flags(self, block: bool) -> tuple[str, ...]:
        """Return libvirt's migration flags as Nova will set them.

        :param block: whether local disks are copied
        """
        found = ['LIVE', 'PEER2PEER', 'UNDEFINE_SOURCE', 'PERSIST_DEST']
        if block:
            found.append('NON_SHARED_INC')
        if self.tunnelled:
            found.append('TUNNELLED')
        if self.native_tls:
            found.append('TLS')
        if self.post_copy:
            found.append('POSTCOPY')
        elif self.auto_converge:
            found.append('AUTO_CONVERGE')
        if self.connections > 1 and not self.tunnelled:
            found.append('PARALLEL')
        return tuple(found)

    def data_gib(self, ram_mib: float, files_bytes: list[int]) -> float:
        """Return the GiB that Nova counts: at least 2 for each part.

        :param files_bytes: length of the file of each disk that is copied,
            whatever the guest sees of it and however much of it is used
            (nova.virt.libvirt.driver, _live_migration_data_gb)
        """
        ram = max(2.0, ram_mib / 1024)
        return ram + sum(max(2.0, size / 1024**3) for size in files_bytes)

    def completion_timeout(self, data_gib: float) -> int:
        """Return the seconds after which Nova acts; 0 is never."""
        return int(self.timeout_s * data_gib)

    def downtime_steps(self, data_gib: float) -> list[tuple[int, int]]:
        """Return (seconds since the start, downtime in ms) of each step."""
        delay = int(self.delay_s * data_gib)
        base = self.downtime_ms / self.steps
        offset = (self.downtime_ms - base) / self.steps
        return [
            (int(delay * step), int(base + offset * step))
            for step in range(self.steps + 1)
        ]


def read(values: Values) -> Options:
    """Return the options of a host from the values in its nova.conf.

    A value that is no number counts as the default, as Nova would not
    start with it.
    """
    values = {
        section: {
            name: value and _substituted(values, section, value)
            for name, value in options.items()
        }
        for section, options in values.items()
    }
    libvirt = values.get('libvirt', {})
    default = values.get('DEFAULT', {})
    fallback = Options()

    def number(name: str, otherwise: int, least: int = 0) -> int:
        try:
            return max(least, int(libvirt.get(name, '') or otherwise))
        except ValueError:
            return otherwise

    def flag(name: str, section: str = 'libvirt') -> bool:
        value = values.get(section, {}).get(name) or ''
        return value.strip().lower() in ('true', '1', 'yes', 'on')

    prefix = 'live_migration_'
    return Options(
        uri=libvirt.get(prefix + 'uri') or '',
        scheme=libvirt.get(prefix + 'scheme') or 'tcp',
        inbound=libvirt.get(prefix + 'inbound_addr') or '',
        tunnelled=flag(prefix + 'tunnelled'),
        native_tls=flag(prefix + 'with_native_tls'),
        post_copy=flag(prefix + 'permit_post_copy'),
        auto_converge=flag(prefix + 'permit_auto_converge'),
        connections=number(prefix + 'parallel_connections', 1),
        bandwidth_mib_s=number(prefix + 'bandwidth', 0),
        downtime_ms=number(prefix + 'downtime', fallback.downtime_ms, 100),
        steps=number(prefix + 'downtime_steps', fallback.steps, 3),
        delay_s=number(prefix + 'downtime_delay', fallback.delay_s, 3),
        timeout_s=number(prefix + 'completion_timeout', fallback.timeout_s),
        timeout_action=libvirt.get(prefix + 'timeout_action') or 'abort',
        instances_path=default.get('instances_path')
        or _substituted(values, 'DEFAULT', _DEFAULTS['instances_path']),
        cpu_mode=libvirt.get('cpu_mode') or '',
        cpu_models=libvirt.get('cpu_models') or libvirt.get('cpu_model') or '',
        cpu_model_extra_flags=_flags(libvirt.get('cpu_model_extra_flags')),
        files=number('file_backed_memory', 0) > 0,
        images_type=libvirt.get('images_type') or 'default',
        virt_type=libvirt.get('virt_type') or 'kvm',
        skip_cpu_compare=flag('skip_cpu_compare_on_dest', 'workarounds'),
    )


def _flags(value: str | None) -> str:
    """Return what Nova makes of flags, whose letters it takes alike."""
    flags = (item.strip() for item in (value or '').lower().split(','))
    return ', '.join(sorted({item.removeprefix('+') for item in flags} - {''}))


def _substituted(values: Values, section: str, text: str) -> str:
    """Return a value with those of the options that it names.

    What is not known here stays as it is written.
    """

    def one(match: re.Match[str]) -> str:
        group, dot, option = (match[1] or match[2] or '').rpartition('.')
        for where in (group,) if dot else (section, 'DEFAULT'):
            value = values.get(where, {}).get(option)
            if value is None and where == 'DEFAULT':
                value = _DEFAULTS.get(option)
            if value is not None:
                return value[:_LONGEST]
        return match[0]

    if '$' not in text:
        return text
    for _round in range(_ROUNDS):
        text = _REFERENCE.sub(one, text)[:_LONGEST]
    return re.sub(r'[$\\]\$', '$', text)
