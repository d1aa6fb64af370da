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

"""The shared key of nova.conf and cinder.conf: is it the same everywhere?

Keys are compared by a hash with a salt of this run and never leave this
module in any other form.
"""

import collections
import collections.abc
import dataclasses
import hashlib
import re
import secrets
import typing

from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab.preflight import finding

#: Options in the order in which they count; [keymgr] is from before 2017.
_BACKEND = (
    ('key_manager', 'backend'),
    ('key_manager', 'api_class'),
    ('keymgr', 'api_class'),
)
_KEY = (('key_manager', 'fixed_key'), ('keymgr', 'fixed_key'))

#: Where Barbican is, for castellan, in place of the catalog.
_ENDPOINT = (('barbican', 'barbican_endpoint'),)

#: castellan's own default backend.
_DEFAULT = 'barbican'

#: Sizes of keys that a cipher can have, in bits.
SIZES = (128, 192, 256, 512)

_CONF = re.compile(r'(nova|cinder)\.keymgr\.conf_key_mgr\.ConfKeyManager')

#: What castellan's driver "vault" stands for.
_VAULT = 'castellan.key_manager.vault_key_manager.VaultKeyManager'


@dataclasses.dataclass(frozen=True)
class File:
    """A configuration file as it was found.

    :param mode: permission bits
    :param changed: seconds since 1970, by the host's clock
    :param options: (section, name) -> value, the last one that counts
    """

    path: str
    mode: int
    changed: float
    options: collections.abc.Mapping[tuple[str, str], str] = dataclasses.field(
        repr=False
    )


@dataclasses.dataclass(frozen=True)
class Service:
    """What was found about nova or cinder on one host.

    :param host: where
    :param name: 'nova' or 'cinder'
    :param files: in the order in which they are read
    :param started: (process name, seconds since 1970) of each process
    :param problem: why nothing could be found; empty else
    """

    host: str
    name: str
    files: tuple[File, ...] = ()
    started: tuple[tuple[str, float], ...] = ()
    problem: str = ''

    @property
    def subject(self) -> str:
        return f'{self.host} {self.name}'

    def option(
        self, names: collections.abc.Iterable[tuple[str, str]]
    ) -> tuple[str, str] | None:
        """Return (value, path) of the first option that is set."""
        for name in names:
            for file in reversed(self.files):
                if name in file.options:
                    return file.options[name], file.path
        return None

    def _value(self, names: collections.abc.Iterable[tuple[str, str]]) -> str:
        found = self.option(names)
        return found[0] if found is not None else ''

    @property
    def backend(self) -> str:
        """Return 'barbican', 'vault', 'fixed-key', or what is set."""
        name = self._value(_BACKEND)
        if not name:
            return _DEFAULT
        if _CONF.fullmatch(name):
            return 'fixed-key'
        if name == _VAULT:
            return 'vault'
        return 'barbican' if 'barbican' in name.lower() else name

    @property
    def chosen(self) -> bool:
        """Return whether an option names the backend."""
        return bool(self._value(_BACKEND))

    @property
    def endpoint(self) -> bool:
        """Return whether an option names Barbican's endpoint."""
        return bool(self._value(_ENDPOINT))

    @property
    def key(self) -> tuple[str, str] | None:
        """Return (key, path); for this module alone."""
        return self.option(_KEY)


def key_bits(text: str) -> int | str:
    """Return the size of a key in bits, or what is wrong with it."""
    if not re.fullmatch(r'[0-9A-Fa-f]*', text):
        return _('it is not hexadecimal')
    if len(text) % 2:
        return _('it has an odd number of digits (%d)') % len(text)
    if not text:
        return _('it is empty')
    return len(text) * 4


def judge(
    services: collections.abc.Sequence[Service],
    key_size: int | None = None,
    unknown: collections.abc.Mapping[str, exceptions.LabError] | None = None,
    in_catalog: bool = True,
) -> list[finding.Finding]:
    """Return all findings about the services of all hosts.

    :param key_size: bits that the key must have; None: any usual size
    :param unknown: 'nova' or 'cinder' -> why nobody knows its hosts
    :param in_catalog: whether the catalog has a key manager
    """
    salt = secrets.token_bytes(16)
    findings = [
        finding.of_api(
            'key-config',
            name,
            finding.Result.UNKNOWN,
            _('Nobody knows its hosts: %s') % why.message,
            why.remedy or _('Name the hosts with --host.'),
        )
        for name, why in (unknown or {}).items()
    ]
    for service in services:
        if service.problem:
            findings.append(
                _finding(
                    'key-config',
                    service,
                    finding.Result.UNKNOWN,
                    service.problem,
                    _('See --ssh, --host and config_files in the manual.'),
                )
            )
            continue
        findings.append(_backend(service, in_catalog))
        if service.key is not None:
            findings.append(_format(service, key_size))
            findings.extend(_modes(service))
        elif service.backend == 'fixed-key':
            findings.append(
                _finding(
                    'key-format',
                    service,
                    finding.Result.FAILED,
                    _('The backend needs fixed_key, which is not set'),
                    _('Add fixed_key to [key_manager].'),
                )
            )
        findings.append(_restarted(service))
    findings.extend(_same(services, salt))
    return findings


def _finding(
    check: str,
    service: Service,
    result: finding.Result,
    message: str,
    remedy: str = '',
    **evidence: typing.Any,
) -> finding.Finding:
    return finding.Finding(
        check,
        service.subject,
        result,
        message,
        remedy,
        finding.Source.SHELL,
        evidence,
    )


def _backend(service: Service, in_catalog: bool) -> finding.Finding:
    backend = service.backend
    if backend == 'barbican' and not in_catalog and not service.endpoint:
        return _nowhere(service)
    if service.key is not None and backend == 'barbican':
        return _finding(
            'key-backend',
            service,
            finding.Result.WARNING,
            _(
                'Barbican, and a fixed_key as well: keys of old volumes '
                'are being moved to Barbican'
            ),
            _('Remove fixed_key when no volume has the all-zero key id.'),
            backend=backend,
        )
    if any(
        service.option(names[:1]) is None and service.option(names)
        for names in (_BACKEND, _KEY)
    ):
        return _finding(
            'key-backend',
            service,
            finding.Result.WARNING,
            _('%s, set by a legacy option name') % backend,
            _('Use "backend" and "fixed_key" in [key_manager].'),
            backend=backend,
        )
    return _finding(
        'key-backend', service, finding.Result.OK, backend, backend=backend
    )


def _nowhere(service: Service) -> finding.Finding:
    """Return what it means that nothing tells where Barbican is."""
    if service.chosen:
        return _finding(
            'key-backend',
            service,
            finding.Result.UNKNOWN,
            _('Barbican, which neither the catalog nor barbican_endpoint has'),
            _('Add it to the catalog, or barbican_endpoint to [barbican].'),
            backend=service.backend,
        )
    return _finding(
        'key-backend',
        service,
        finding.Result.FAILED,
        _(
            'No backend is set, so it is Barbican, and the catalog has no '
            'key manager'
        ),
        _(
            'Set backend and fixed_key in [key_manager]; see "openstack '
            'volume encryption key generate".'
        ),
        backend=service.backend,
    )


def _format(service: Service, key_size: int | None) -> finding.Finding:
    assert service.key is not None
    bits = key_bits(service.key[0])
    remedy = _('Make one with "openstack volume encryption key generate".')
    if isinstance(bits, str):
        return _finding(
            'key-format',
            service,
            finding.Result.FAILED,
            _('The fixed_key is malformed: %s') % bits,
            remedy,
        )
    if bits not in ((key_size,) if key_size else SIZES):
        return _finding(
            'key-format',
            service,
            finding.Result.FAILED,
            _('The fixed_key has %(bits)d bits, not %(wished)s')
            % {
                'bits': bits,
                'wished': key_size or ', '.join(str(size) for size in SIZES),
            },
            remedy,
            bits=bits,
        )
    return _finding(
        'key-format',
        service,
        finding.Result.OK,
        _('%d bits') % bits,
        bits=bits,
    )


def _modes(service: Service) -> collections.abc.Iterator[finding.Finding]:
    for file in service.files:
        if not any(name in file.options for name in _KEY):
            continue
        if file.mode & 0o007:
            yield _finding(
                'key-file-mode',
                service,
                finding.Result.FAILED,
                _('%(path)s holds the key and has mode %(mode)04o')
                % {'path': file.path, 'mode': file.mode},
                _('chmod 0640, and the group of the service.'),
                path=file.path,
                mode=f'{file.mode:04o}',
            )
        else:
            yield _finding(
                'key-file-mode',
                service,
                finding.Result.OK,
                _('%(path)s has mode %(mode)04o')
                % {'path': file.path, 'mode': file.mode},
                path=file.path,
                mode=f'{file.mode:04o}',
            )


def _restarted(service: Service) -> finding.Finding:
    newest = max(service.files, key=lambda file: file.changed)
    late = sorted(
        {
            name
            for name, started in service.started
            # ps counts in whole seconds.
            if started + 1 < newest.changed
        }
    )
    if not service.started:
        return _finding(
            'key-service-restart',
            service,
            finding.Result.UNKNOWN,
            _('No process of %s was seen') % service.name,
            _('Is it running in a container whose processes are hidden?'),
        )
    if late:
        return _finding(
            'key-service-restart',
            service,
            finding.Result.FAILED,
            _('%(names)s started before %(path)s was changed')
            % {'names': ', '.join(late), 'path': newest.path},
            _('Restart it.'),
            processes=late,
        )
    return _finding(
        'key-service-restart',
        service,
        finding.Result.OK,
        _('All processes started after the last change'),
    )


def _same(
    services: collections.abc.Sequence[Service], salt: bytes
) -> collections.abc.Iterator[finding.Finding]:
    """Yield one finding a service: the key of most services is right.

    Volumes need one key manager everywhere, with a fixed_key or without.
    """
    read = [service for service in services if not service.problem]
    prints = [
        hashlib.sha256(
            salt + service.key[0].lower().encode('utf-8', 'surrogatepass')
        ).hexdigest()[:12]
        if service.key is not None
        else 'none'
        for service in read
    ]
    backends = {service.backend for service in read}
    keys = collections.Counter(value for value in prints if value != 'none')
    if not keys and len(backends) < 2:
        return
    for service, mine in zip(read, prints, strict=True):
        remedy = _('Give all nova and cinder services the same key.')
        result = finding.Result.FAILED
        if len(backends) > 1:
            message = _(
                'Its backend is %(mine)s, but there are also: %(others)s'
            ) % {
                'mine': service.backend,
                'others': ', '.join(sorted(backends - {service.backend})),
            }
            remedy = _('Give all nova and cinder services the same backend.')
        elif mine == 'none':
            message = _('It has no fixed_key, others have')
        elif mine != keys.most_common(1)[0][0]:
            message = _('Its key is not the one that most have')
        else:
            result, remedy = finding.Result.OK, ''
            message = (
                _('Same key as most')
                if len(set(prints)) > 1
                else _('Same key wherever it was read')
            )
        yield _finding(
            'key-same', service, result, message, remedy, fingerprint=mine
        )


def snippet(service: str, key: str) -> str:
    """Return a configuration file for nova or cinder with a key."""
    return (
        '[key_manager]\n'
        f'backend = {service}.keymgr.conf_key_mgr.ConfKeyManager\n'
        f'fixed_key = {key}\n'
    )


def new_key(bits: int) -> str:
    """Return a random key in hexadecimal."""
    return secrets.token_hex(bits // 8)
