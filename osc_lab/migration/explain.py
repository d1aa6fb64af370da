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

"""Why a migration ended as it did, in the words of the checks.

Nova keeps the reason in action events when one of its own steps fails, and
in nova-compute's log alone when libvirt fails.
"""

import collections.abc
import dataclasses
import re

from osc_lab.i18n import _
from osc_lab.migration import facts as facts_
from osc_lab.migration import ranking
from osc_lab.migration import record as record_
from osc_lab.preflight import finding

CHECK = 'outcome'
_LISTEN = 'libvirt-listen'

#: What Nova says when the scheduler found nothing, for whatever reason.
NO_HOST = re.compile('No valid host|Exceeded max scheduling')

#: Characters of a text that are looked at; Nova keeps 64 KiB of a traceback,
#: and patterns take longer with the square of that.
_LONGEST = 4000

_WAITING = r'state change lock \(held by monitor=remoteDispatchDomainMigrate'

#: (pattern in an event or a log, id of the check that sees it before).
#: The texts are those of Nova 29 to 34 and libvirt 9 to 12; the first that
#: matches counts.
_CAUSES: tuple[tuple[str, str], ...] = (
    (r'KeyManagerError|Secret payload retrieval', 'volume-secrets'),
    (r'certificate|TLS confirmation|TLS handshake', 'libvirt-tls'),
    (r'Unable to access credentials', 'qemu-processes'),
    (
        r'authentication failed|SASL|Host key verification failed|'
        r'Permission denied \(publickey',
        'libvirt-auth',
    ),
    (
        r"(connect to (server at )?|Failed to connect to )'[^']*:491\d\d'|"
        r"(connect to (server at )?|Failed to connect to )'[^']*:492\d\d'",
        'migration-ports',
    ),
    # Nova asks how far it is while libvirt still tries to reach the other
    # end, which takes longer than libvirt lets it wait.
    (_WAITING, 'migration-ports'),
    (r'hostname on destination resolved to localhost', 'libvirt-identity'),
    (r'Attempt to migrate guest to the same host', 'libvirt-identity'),
    (r"Unable to resolve address '[^']*' service '49", 'libvirt-identity'),
    (
        r'unable to connect to server at|Unable to resolve address|'
        r'Cannot recv data|End of file while reading data',
        'libvirt-listen',
    ),
    (
        r"argument key 'host' must not have null value|tunnelled|TUNNELLED|"
        r'Postcopy is not supported|is not supported with postcopy',
        'migration-options',
    ),
    (r'does not support machine type|machine type', 'machine-type'),
    (
        r'requires a newer hypervisor version|supplied hypervisor type',
        'qemu-version',
    ),
    (
        r'CPU is incompatible|CPU doesn|Unacceptable CPU|'
        r'guest CPU doesn|required features|CPU model .* not supported|'
        r'CPU model .* is not known|CPU affinity',
        'cpu',
    ),
    (r'Cannot access storage file|Could not open', 'guest-devices'),
    (r'already exists with uuid|is already active', 'domain-conflict'),
    (r'No space left|not enough disk|DiskSpace', 'migration-storage'),
    (r'supplied disk path .* already exists', 'migration-storage'),
    (r'is not on (shared|local) storage', 'migration-storage'),
    (r'Migration without shared storage is unsafe', 'migration-storage'),
    (r'Live migration not completed after', 'convergence'),
    (
        r'PortBindingFailed|Binding failed for port|'
        r'VirtualInterface|Virtual [Ii]nterface|vif-plugged',
        'port-binding',
    ),
    (r'Timeout while checking if we can live migrate', 'destination-service'),
    (
        r'ServerGroup|GroupAffinity|group policy|(anti|soft)-affinity',
        'server-group',
    ),
    (r'Requested instance NUMA topology', 'numa-and-sriov'),
    (
        r'Lack of memory|not enough capacity|' + NO_HOST.pattern,
        'destination-capacity',
    ),
)

#: What Nova answers at once, without a migration.
_REFUSALS: tuple[tuple[str, str], ...] = (
    (r'is locked', 'server-lock'),
    (r'while it is in (vm|task|power)_state', 'server-state'),
    (r'[Pp]olicy|not allowed', 'caller-rights'),
)

_LOG_TEXT = re.compile(
    r'Live Migration failure: .*|Live migration failed\.?:? .*|'
    r'libvirtError: .*|Error: .*|Exception: .*|Pre live migration failed.*|'
    r'Live migration not completed after .*|KeyManagerError.*'
)


#: What Python writes before it says what failed; what failed in another
#: service has it behind (oslo_messaging, deserialize_remote_exception).
_TRACEBACK = 'Traceback (most recent call last)'

#: When a request, or Nova at its timeout, ended the job of libvirt.
_ABORTED = 'canceled by client'

#: Nova ends a job twice (nova.virt.libvirt.driver._live_migration).
_ENDED_TWICE = 'no job is active on the domain'


def aborted(text: str) -> bool:
    """Return whether a text says that the migration was aborted."""
    return _ABORTED in text


def refusal(text: str) -> str | None:
    """Return the id of the check that sees why Nova refuses at once."""
    return _first(_REFUSALS, text)


def cause(text: str) -> str | None:
    """Return the id of the check that a text speaks of."""
    return _first(_CAUSES, text)


def _first(table: tuple[tuple[str, str], ...], text: str) -> str | None:
    for pattern, check in table:
        if re.search(pattern, text[:_LONGEST]):
            return check
    return None


def reasons(
    action: record_.Action | None,
    lines: collections.abc.Iterable[str] = (),
) -> list[tuple[str, str]]:
    """Return (source, text) of what was said about a failure.

    A text may have several lines: see :func:`brief`.

    :param lines: of nova-compute's log on the source
    """
    found: dict[str, tuple[str, str]] = {}

    def note(where: str, text: str) -> None:
        # Nova logs what libvirt said up to four times.
        said = brief(text).rpartition('libvirtError: ')[2]
        if _ENDED_TWICE not in said:
            found.setdefault(said, (where, text))

    if action is not None:
        for event in action.events:
            text = _untraced(event.details)
            if event.failed and text:
                where = f'{event.name} ({event.host})'.replace(' ()', '')
                note(where, text)
    for line in lines:
        match = _LOG_TEXT.search(line)
        if match:
            note(_('log of nova-compute'), match[0].strip())
    return list(found.values())


def _untraced(text: str) -> str:
    """Return what an error says, without its traceback."""
    said, found, trace = text.strip().partition(_TRACEBACK)
    if found and not said:
        return trace.rpartition('\n')[2]
    return said.rstrip()


def brief(text: str) -> str:
    """Return the first line; what follows is for those who know more."""
    return text.partition('\n')[0].rstrip()


def findings(
    subject: str,
    said: list[tuple[str, str]],
    remedies: collections.abc.Mapping[str, str],
) -> list[finding.Finding]:
    """Return one finding for each cause that the texts name.

    :param remedies: id of a check -> what it advises
    """
    causes: dict[str, tuple[str, str]] = {}
    alone = from_scheduler(said)
    for where, text in said:
        # "No valid host" follows from any other reason, known or not.
        if _no_host(text) and not alone:
            continue
        name = cause(text)
        if name is not None and name not in causes:
            causes[name] = (where, text)
    return [
        finding.Finding(
            name,
            subject,
            finding.Result.FAILED,
            f'{where}: {brief(text)}',
            remedies.get(name, _('See "openstack server event show".')),
            finding.Source.API,
            {'text': text},
        )
        for name, (where, text) in causes.items()
    ]


def waited(item: finding.Finding) -> bool:
    """Return whether libvirt waited for the other end, whatever it was."""
    return bool(re.search(_WAITING, str(item.evidence.get('text'))))


def from_scheduler(said: collections.abc.Collection[tuple[str, str]]) -> bool:
    """Return whether all that was said is that no host was valid."""
    return bool(said) and all(_no_host(text) for _where, text in said)


def _no_host(text: str) -> bool:
    return bool(NO_HOST.search(text))


def as_of_now(ranked: ranking.Ranking) -> list[finding.Finding]:
    """Return the failures that checks see now, marked as such.

    Of each check those of one host, however many there are; none of hosts
    while one of them passes, for that is not what kept the server away.
    """
    seen = list(ranked.general.findings)
    if all(item.result is finding.Result.FAILED for item in ranked.candidates):
        for candidate in ranked.candidates:
            seen += candidate.report.findings
    failures = [item for item in seen if item.result is finding.Result.FAILED]
    hosts: dict[str, list[str]] = {}
    for item in failures:
        there = hosts.setdefault(item.check, [])
        if item.subject not in there:
            there.append(item.subject)
    return [
        dataclasses.replace(
            item, message=_seen_now(item.message, len(hosts[item.check]))
        )
        for item in failures
        if item.subject == hosts[item.check][0]
    ]


def _seen_now(text: str, count: int) -> str:
    if count == 1:
        return _('No valid host; seen now: %s') % text
    return _('No valid host; seen now on %(count)d hosts: %(text)s') % {
        'count': count,
        'text': text,
    }


def how_many(
    ranked: ranking.Ranking, server: facts_.Server
) -> finding.Finding:
    """Return how many hosts there are for a server that found none."""
    failing = [
        item
        for item in ranked.candidates
        if item.result is finding.Result.FAILED
    ]
    return finding.Finding(
        'reason',
        server.name,
        finding.Result.WARNING,
        _('No valid host; now %(count)d of %(all)d hosts fail a check.')
        % {'count': len(failing), 'all': len(ranked.candidates)},
        f'openstack server migrate live {server.id} --preflight',
    )


def _way(text: str) -> str:
    """Return the check that sees why libvirt does not answer."""
    found = cause(text)
    return found if found in ('libvirt-auth', 'libvirt-tls') else _LISTEN


def silent(
    running: collections.abc.Mapping[str, bool | facts_.Gap],
    remedies: collections.abc.Mapping[str, str],
) -> list[finding.Finding]:
    """Return a finding for each host whose libvirt does not answer now.

    :param remedies: id of a check -> what it advises
    """
    found = []
    for host, gap in sorted(running.items()):
        if isinstance(gap, facts_.Gap) and gap.asked:
            check = _way(gap.message)
            found.append(
                finding.Finding(
                    check,
                    host,
                    finding.Result.FAILED,
                    _('libvirt there does not answer now: %s') % gap.message,
                    remedies.get(check, ''),
                    finding.Source.LIBVIRT,
                )
            )
    return found
