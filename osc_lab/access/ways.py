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

"""The ways from the source to its destinations, tried where they begin."""

import collections.abc
import contextlib
import typing

from osc_lab.access import host_shell
from osc_lab import exceptions
from osc_lab.migration import facts
from osc_lab.migration import nova_options
from osc_lab.migration import reach
from osc_lab import workers

#: The last ports of QEMU's migrations (qemu.conf, migration_port_max), the
#: best first.  libvirt takes the lowest that is free, a while before QEMU
#: listens there, and QEMU takes its first caller for the source: who holds
#: or calls a low port breaks a migration of somebody else.
PROBED_PORTS = tuple(range(49215, 49207, -1))

#: Destinations that are tried at once.  Each takes two connections and two
#: runs of virsh on the source, where guests want to run, too; where a firewall
#: drops packets each lasts a whole deadline.
WIDTH = 16

ShellOf = collections.abc.Callable[[facts.Host], host_shell.HostShell | None]


def task(
    source: facts.Host,
    targets: list[facts.Host],
    shell_of: ShellOf,
    deadline: float,
) -> collections.abc.Callable[[], dict[str, facts.Way | Exception]] | None:
    """Return what tries the way to each destination, None without a shell.

    :param deadline: seconds for each attempt
    """
    shell = shell_of(source)
    if shell is None or not isinstance(source.shell, facts.Shell):
        return None
    options = nova_options.read(source.shell.options)
    routes = {
        host.name: _route(host, options)
        for host in targets
        if host.name != source.name
    }

    def attempt() -> dict[str, facts.Way | Exception]:
        found: dict[str, facts.Way | Exception] = {}
        waiting = [host for host in targets if host.name in routes]
        while waiting:
            batch = {host.name: routes[host.name] for host in waiting[:WIDTH]}
            try:
                with contextlib.ExitStack() as stack:
                    listening = _listeners(
                        waiting[:WIDTH], shell_of, deadline, stack
                    )
                    found |= _ask(
                        shell, source.name, batch, listening, deadline
                    )
            except Exception as error:
                # It is the source that does not answer.
                return dict.fromkeys(routes, error) | found
            del waiting[:WIDTH]
        return found

    return attempt


def _ask(
    shell: host_shell.HostShell,
    origin: str,
    routes: dict[str, tuple[str, str]],
    listening: dict[str, int],
    deadline: float,
) -> dict[str, facts.Way]:
    request: dict[str, typing.Any] = {
        'virsh': [
            [uri, deadline, secrets]
            for uri, _address in routes.values()
            for secrets in (True, False)
        ],
        'resolved': [address for _u, address in routes.values()],
        'connect': [],
    }
    ports = [listening.get(name, PROBED_PORTS[0]) for name in routes]
    for port, (uri, address) in zip(ports, routes.values(), strict=True):
        request['connect'].append([*_socket(uri), deadline])
        request['connect'].append([address, port, deadline])
    answer = shell.ask(**request)
    found = {}
    for index, (name, (uri, address)) in enumerate(routes.items()):
        both = slice(2 * index, 2 * index + 2)
        spoken, bare = answer['virsh'][both]
        socket, data = answer['connect'][both]
        found[name] = facts.Way(
            uri=uri,
            libvirt=_attempt(origin, uri, spoken or socket),
            complete=spoken is not None,
            unguarded=bool(bare) and bare['text'] == 'open',
            host=_socket(uri)[0],
            data_address=address,
            data_resolved=answer['resolved'].get(address, ''),
            data=_attempt(origin, f'{address}:{ports[index]}', data),
            listening=name in listening,
        )
    return found


def _listeners(
    targets: list[facts.Host],
    shell_of: ShellOf,
    deadline: float,
    stack: contextlib.ExitStack,
) -> dict[str, int]:
    """Listen on a port of each for a moment; return where that is done."""
    tasks = {}
    for host in targets:
        shell = shell_of(host)
        if shell is None or not isinstance(host.shell, facts.Shell):
            continue
        try:
            listener = shell.listen(PROBED_PORTS, deadline * 3)
        except exceptions.AccessError:
            continue
        stack.callback(listener.close)
        tasks[host.name] = listener.port
    results = workers.run(tasks, deadline + 1)
    return {
        name: port for name, port in results.items() if isinstance(port, int)
    }


def _attempt(origin: str, target: str, item: typing.Any) -> facts.Attempt:
    text = str(item['text'])
    return facts.Attempt(
        origin,
        target,
        facts.Reach.OPEN if text == 'open' else reach.classify(text),
        '' if text == 'open' else text,
        float(item['seconds']),
    )


def _route(host: facts.Host, source: nova_options.Options) -> tuple[str, str]:
    """Return (URI of libvirt, address of QEMU) of a destination.

    As nova.virt.libvirt.driver._live_migration_uri and _migrate_uri: the
    inbound address of the destination, else its name; QEMU's address is
    what libvirt there calls itself.
    """
    itself, values = host.name, {}
    if not isinstance(host.hypervisor, facts.Gap):
        itself = host.hypervisor.hostname or host.name
        # Nova tells it of each host; in nova.conf it may be left out.
        values['my_ip'] = host.hypervisor.address
    inbound = ''
    if isinstance(host.shell, facts.Shell):
        values.update(host.shell.options.get('DEFAULT', {}))
        inbound = nova_options.read(
            {**host.shell.options, 'DEFAULT': values}
        ).inbound
    return source.destination_uri(inbound or host.name), inbound or itself


def _socket(uri: str) -> tuple[str, int]:
    rest = uri.partition('://')[2].partition('/')[0]
    scheme = uri.partition('://')[0].partition('+')[2]
    rest = rest.rpartition('@')[2]
    if rest.startswith('['):
        host, _bracket, port = rest[1:].partition(']')
        port = port.lstrip(':')
    else:
        host, _colon, port = rest.partition(':')
    return host, int(port) if port.isdigit() else nova_options.PORTS.get(
        scheme, 16509
    )
