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

"""nova-compute of a compute host: the libvirt driver on QEMU without KVM."""

import shlex

from lab import hosts
from lab import ini
from lab import model
from lab.services import common
from lab.services import openvswitch

PROGRAM = 'nova-compute'

#: What the control plane's processes read first; no database is in it.
SHARED = 'nova/nova.conf'

# The host has no sudo; everything is root's already.
_PRIVILEGED = (
    'nova_sys_admin',
    'vif_plug_ovs_privileged',
    'vif_plug_linux_bridge_privileged',
    'privsep_osbrick',
)

#: One machine type and one CPU for all guests, so that hosts differ only
#: where a test makes them differ.
MACHINE_TYPE = 'pc-i440fx-7.2'
CPU_MODEL = 'qemu64'


def configuration_file(host: str) -> str:
    """Path below etc/ of what a host reads after the shared file."""
    return f'nova/{host}/nova-compute.conf'


def _files(layout: model.Layout, host: str) -> list[str]:
    return [
        f'--config-file={layout.etc / SHARED}',
        f'--config-file={layout.etc / configuration_file(host)}',
    ]


def configuration(context: common.Context, host: str) -> ini.Sections:
    """What is a host's own."""
    layout = context.layout
    state = hosts.state_path(layout)
    helper = shlex.join(['env', 'privsep-helper', *_files(layout, host)])
    return {
        'DEFAULT': {
            'host': host,
            'my_ip': layout.host_address(host),
            'state_path': str(state),
            'instances_path': str(hosts.instances_path(layout)),
            'compute_driver': 'libvirt.LibvirtDriver',
            'use_cow_images': True,
            'force_raw_images': True,
            # All hosts see the whole machine's memory and disk.
            'reserved_host_memory_mb': 512,
            'resume_guests_state_on_host_boot': False,
            'update_resources_interval': 30,
            # Guests know nothing of ACPI.
            'shutdown_timeout': 2,
        },
        'compute': {
            # With a userspace datapath libvirt makes the tap only when QEMU
            # starts, so Neutron cannot report the plug before a migration.
            'live_migration_wait_for_vif_plug': False,
        },
        'libvirt': {
            'virt_type': 'qemu',
            'cpu_mode': 'custom',
            'cpu_models': CPU_MODEL,
            'hw_machine_type': f'x86_64={MACHINE_TYPE}',
            'inject_partition': -2,
            'nfs_mount_point_base': str(state / 'mnt'),
            'mem_stats_period_seconds': 2,
        },
        'os_vif_ovs': {'ovsdb_connection': f'unix:{openvswitch.SOCKET}'},
        'oslo_concurrency': {'lock_path': str(state / 'locks')},
        **{name: {'helper_command': helper} for name in _PRIVILEGED},
    }


def service(context: common.Context, host: str) -> model.Service:
    """nova-compute of a host."""
    layout = context.layout
    identity = layout.host_dir(host) / 'nova' / 'compute_id'
    return model.Service(
        name=f'{PROGRAM}-{host}',
        argv=(str(layout.venv / 'bin' / PROGRAM), *_files(layout, host)),
        machine=host,
        files={
            layout.etc / configuration_file(host): ini.render(
                configuration(context, host)
            ),
            identity: f'{hosts.host_uuid(layout, host)}\n',
        },
        after=(
            f'libvirtd-{host}',
            f'vswitchd-{host}',
            'forwarder',
            'nova-conductor',
        ),
    )
