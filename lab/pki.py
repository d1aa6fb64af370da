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

"""Certificates of the lab's own authority.

``pki/ca`` is the authority, ``pki/HOST`` a host's certificate (server and
client), ``pki/client`` the operator's, in the layout that libvirt's
``pkipath`` asks for.
"""

import pathlib

from lab import model
from osc_lab.tests import openssl


def lab_authority(layout: model.Layout) -> openssl.Pair:
    """The authority that every certificate of a lab comes from."""
    return openssl.authority(layout.state / 'pki' / 'ca')


def host_names(layout: model.Layout, host: str) -> list[str]:
    """Every name and address under which a host is reached."""
    return [
        f'DNS:{host}',
        f'DNS:{host}.lab',
        f'IP:{layout.host_address(host)}',
        f'IP:{layout.host_loopback(host)}',
        'IP:127.0.0.1',
    ]


def host_pair(layout: model.Layout, host: str) -> openssl.Pair:
    """A host's own certificate, made when it is not there."""
    folder = layout.state / 'pki' / host
    pair = openssl.Pair(folder / 'cert.pem', folder / 'key.pem')
    if not pair.certificate.exists():
        names = host_names(layout, host)
        openssl.issue(lab_authority(layout), pair, f'{host}.lab', names)
    return pair


def client_folder(layout: model.Layout) -> pathlib.Path:
    """The operator's certificates, made when they are not there."""
    folder = layout.state / 'pki' / 'client'
    ca = lab_authority(layout)
    pair = openssl.Pair(folder / 'clientcert.pem', folder / 'clientkey.pem')
    if not pair.certificate.exists():
        openssl.issue(ca, pair, 'operator')
    copy = folder / 'cacert.pem'
    if not copy.exists():
        copy.write_bytes(ca.certificate.read_bytes())
    return folder
