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

"""Rows and wishes for tests of mirroring."""

import datetime

from osc_lab.mirroring import marks
from osc_lab.mirroring import model
from osc_lab.mirroring import targets
from osc_lab.mirroring import transaction

NOW = datetime.datetime(2026, 5, 4, 12, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
PORT_ID = '6f1c2d3e-0000-4000-8000-000000000001'

#: What tenants call their servers, and worse.
HOSTILE = (
    ' ',
    '--help',
    '$(touch x) `id` ; rm -rf /',
    '"quoted" \'twice\' \\ back',
    'new\nline\r\ttab',
    '\x1b[31mred\x1b[0m\x9b\u202e\u2028',
    'ü' * 255,
)


def marked(**changes):
    values = {
        'id': 'mirror-id',
        'name': 'm',
        'purpose': 'mirror',
        'creator': 'me',
        'port': PORT_ID,
        'port_name': 'web',
        'server': 'server-id',
        'server_name': 'vm',
        'host': 'cmp1',
        'direction': 'both',
        'target': 'interface',
        'created': NOW,
        'expires': NOW + HOUR,
    }
    return marks.Marks(**{**values, **changes})


def neutron(**changes):
    values = {
        'id': PORT_ID,
        'name': 'web',
        'host': 'cmp1',
        'vif_type': 'ovs',
        'server': 'server-id',
    }
    return model.NeutronPort(**{**values, **changes})


def mirror(ours=True, **changes):
    values = {
        'uuid': 'row-mirror',
        'name': 'm',
        'bridge': 'br-int',
        'bridge_uuid': 'row-bridge',
        'select_src': ('row-port',),
        'select_dst': ('row-port',),
        'output_port': 'row-output',
        'output_name': 'tpm0123456789',
        'packets': 5,
        'bytes': 500,
    }
    if ours:
        values['external_ids'] = marks.encode(marked())
    return model.Mirror(**{**values, **changes})


def own_port(**changes):
    values = {
        'uuid': 'row-output',
        'name': 'tpm0123456789',
        'external_ids': marks.encode(marked()),
    }
    return model.Port(**{**values, **changes})


def attachment(mirrors=(), **interface):
    values = {
        'uuid': 'row-interface',
        'name': 'tapone',
        'ofport': 3,
        'mtu': 1450,
    }
    return model.Attachment(
        model.Interface(**{**values, **interface}),
        model.Port('row-port', 'tapone', tag=7, interfaces=('row-interface',)),
        model.Bridge(
            'row-bridge', 'br-int', mirrors=tuple(m.uuid for m in mirrors)
        ),
        tuple(mirrors),
    )


def wish(to='interface', direction='both', **changes):
    target = targets.parse(to)
    values = {
        'name': 'm',
        'direction': model.Direction(direction),
        'target': target,
        'device': 'tpm0123456789',
        'marks': marked(direction=direction, target=str(target)),
    }
    return transaction.Wish(**{**values, **changes})
