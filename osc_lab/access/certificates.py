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

"""X.509 certificates as plain facts."""

import hashlib
import typing

from cryptography import exceptions as crypto
from cryptography.hazmat.primitives import serialization
from cryptography import x509
from cryptography.x509 import oid

from osc_lab.i18n import _
from osc_lab.migration import facts

#: path -> (stack, role); the defaults of libvirt and QEMU
PATHS = {
    '/etc/pki/CA/cacert.pem': ('libvirt', 'ca'),
    '/etc/pki/libvirt/servercert.pem': ('libvirt', 'server'),
    '/etc/pki/libvirt/clientcert.pem': ('libvirt', 'client'),
    '/etc/pki/qemu/ca-cert.pem': ('qemu', 'ca'),
    '/etc/pki/qemu/server-cert.pem': ('qemu', 'server'),
    '/etc/pki/qemu/client-cert.pem': ('qemu', 'client'),
}

#: What the QEMU of a guest reads when the guest leaves its host.
OF_GUEST = ('/etc/pki/qemu/ca-cert.pem', '/etc/pki/qemu/client-cert.pem')


def read(
    files: typing.Any,
) -> tuple[facts.Certificate, ...] | facts.Gap:
    """Return the certificates that a host has.

    :param files: path -> {'pem'}, {'error'} or nothing, as the probe said
    """
    loaded: dict[str, list[x509.Certificate]] = {}
    for path in PATHS:
        try:
            pem = files.get(path, {}).get('pem')
            if pem:
                loaded[path] = x509.load_pem_x509_certificates(pem.encode())
        except (AttributeError, TypeError, ValueError) as error:
            return facts.Gap(f'{path}: {error}')
    found = []
    for path, chain in loaded.items():
        stack, role = PATHS[path]
        authorities = [
            certificate
            for other, items in loaded.items()
            if PATHS[other] == (stack, 'ca')
            for certificate in items
        ]
        first = chain[0]
        found.append(
            facts.Certificate(
                path=path,
                stack=stack,
                role=role,
                names=_names(first),
                not_before=first.not_valid_before_utc.timestamp(),
                not_after=first.not_valid_after_utc.timestamp(),
                key_id=_digest(first),
                signed_by=next(
                    (
                        _digest(item)
                        for item in authorities
                        if _signed(first, item)
                    ),
                    '',
                ),
            )
        )
    return tuple(found)


def of_guest(
    files: typing.Any,
) -> tuple[facts.Certificate, ...] | facts.Gap | None:
    """Return the certificates that a guest's QEMU sees.

    :param files: as for :func:`read`, None when the guest does not run
    """
    if files is None:
        return None
    for hidden in unseen(files).values():
        return hidden
    return read(files)


def unseen(files: typing.Any) -> dict[tuple[str, str], facts.Gap]:
    """Return (stack, role) -> why nobody knows of such a certificate.

    :param files: as for :func:`read`
    """
    return {
        PATHS[path]: facts.Gap(
            _('Nobody can see whether %(path)s is there: %(error)s.')
            % {'path': path, 'error': found['error']},
            _('Use a user who may see the files of libvirt, with --ssh.'),
        )
        for path, found in files.items()
        if path in PATHS and 'error' in found
    }


def _names(certificate: x509.Certificate) -> frozenset[str]:
    """Return the names and addresses that it is for.

    Only without alternative names GnuTLS takes the common name, if there is
    one alone (gnutls_x509_crt_check_hostname2).
    """
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(
            oid.NameOID.COMMON_NAME
        )
        names = [str(item.value) for item in common]
        return frozenset(names if len(names) == 1 else ())
    except ValueError:
        return frozenset()
    return frozenset(
        (
            *found.get_values_for_type(x509.DNSName),
            *(str(ip) for ip in found.get_values_for_type(x509.IPAddress)),
        )
    )


def _digest(certificate: x509.Certificate) -> str:
    data = certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(data).hexdigest()[:32]


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, crypto.InvalidSignature):
        return False
    return True
