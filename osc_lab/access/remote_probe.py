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

"""Runs on a compute host: what only the host itself can see.

Sent through OpenSSH as an argument of ``python3``, so it uses the standard
library of Python 3.9 alone and nothing of this package.  The request is
a line of JSON on standard input, the answer one on standard output.  It
reads; the one thing it makes, a listening socket to try the way between two
hosts, ends by itself.  Values of options that are not asked for never
leave the host, nor does a password in one; of the message queue only a
digest does.
"""

from __future__ import annotations

import collections.abc
import concurrent.futures
import configparser
import glob
import hashlib
import json
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time
import typing
import urllib.parse

Json = dict[str, typing.Any]
Action = collections.abc.Callable[..., typing.Any]

#: What nova-compute reads of itself (oslo.config, find_config_files and
#: find_config_dirs).
FILES = ('/etc/nova/nova.conf', '/etc/nova/nova-compute.conf')
FOLDERS = ('/etc/nova/nova.conf.d', '/etc/nova/nova-compute.conf.d')

#: What says that a file is not there.
ABSENT = (FileNotFoundError, NotADirectoryError)


def processes(
    *programs: str,
) -> collections.abc.Iterator[tuple[int, list[str]]]:
    """Yield (pid, arguments) of processes, of some programs or of all."""
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            with open(path, 'rb') as stream:
                argv = stream.read().decode('utf-8', 'replace').split('\0')
        except OSError:
            continue
        if not programs or set(programs) & set(started(argv)):
            yield int(path.split('/')[2]), argv


def started(argv: list[str]) -> list[str]:
    """Return the names of a program, and of what it may interpret.

    Packages start services with options of Python, as ``python3 -s``.
    """
    rest = argv[1:]
    if os.path.basename(argv[0]).startswith('python'):
        while rest and re.match('-[A-Zbdisuvx]', rest[0]):
            rest = rest[2 if rest[0] in ('-W', '-X') else 1 :]
    return [os.path.basename(part) for part in (argv[0], *rest[:1])]


def configuration(request: Json) -> Json:
    """Return the chosen options of nova.conf, and where they stand.

    What is there and cannot be read is told, for it may hold any option.
    """
    root, paths = '', list(request.get('files') or ())
    if not paths:
        root, paths = of_nova_compute()
    parser = configparser.RawConfigParser(
        strict=False, allow_no_value=True, default_section='\0'
    )
    read, unread = [], []
    for path in paths:
        names = [root + path]
        if os.path.isdir(root + path):
            names = sorted(glob.glob(glob.escape(root + path) + '/*.conf'))
        for name in names:
            try:
                with open(name, encoding='utf-8') as stream:
                    parser.read_string(stream.read(), name)
                read.append(name[len(root) :])
            except FileNotFoundError:
                continue
            except (OSError, ValueError, configparser.Error):
                unread.append(name[len(root) :])
    options = {}
    for section, names in request['options'].items():
        found = {
            name: without_password(unquoted(parser.get(section, name)))
            for name in names
            if parser.has_option(section, name)
        }
        if found:
            options[section] = found
    cell = ''
    if parser.has_option('DEFAULT', 'transport_url'):
        url = unquoted(parser.get('DEFAULT', 'transport_url')) or ''
        cell = hashlib.sha256(queue(url).encode()).hexdigest()[:16]
    return {
        'files': read,
        'unread': unread,
        'options': options,
        'cell': cell,
    }


def queue(url: str) -> str:
    """Return a transport_url without what may differ within a cell.

    That is who logs in, the order of the brokers, and how they are
    reached; RabbitMQ listens on 5672, and its virtual host is "/", unless
    it says otherwise (oslo_messaging.transport, TransportURL.parse).
    """
    scheme, _sep, rest = url.partition('://')
    places, _slash, path = rest.partition('?')[0].partition('/')
    brokers = sorted(
        place if re.search(r':\d+$', place) else f'{place}:5672'
        for place in re.sub(r'[^,]*@', '', places).lower().split(',')
        if place
    )
    virtual_host = urllib.parse.unquote(path) or '/'
    return f'{scheme}://{",".join(brokers)}/{virtual_host}'


def of_nova_compute() -> tuple[str, list[str]]:
    """Return the root of nova-compute's files, and what it reads of them.

    As oslo.config does (ConfigOpts, _parse_config_files): files of its own
    unless --config-file names any, folders of its own unless --config-dir
    does, then what is named; the last value counts.
    """
    for pid, argv in processes('nova-compute'):
        named = []
        for at, part in enumerate(argv):
            option, _equals, value = part.partition('=')
            if option in ('--config-file', '--config-dir'):
                value = value or ''.join(argv[at + 1 : at + 2])
                named.append((option, value))
        options = {option for option, _value in named}
        return container(pid) or '', [
            *(() if '--config-file' in options else FILES),
            *(() if '--config-dir' in options else FOLDERS),
            *(value for _option, value in named),
        ]
    return '', [*FILES, *FOLDERS]


def container(pid: int) -> str | None:
    """Return the root of a process that sees other files than this one.

    It is None where only its owner and root may look.
    """
    try:
        theirs, ours = (
            os.readlink(f'/proc/{who}/ns/mnt') for who in (pid, 'self')
        )
    except OSError:
        return None
    return '' if theirs == ours else f'/proc/{pid}/root'


def root_of(*programs: str) -> str | None:
    """Return the root of what a service sees, None when nobody can tell."""
    for pid, _argv in processes(*programs):
        return container(pid)
    return ''


def inside(root: str, path: str, links: int = 40) -> str:
    """Return where a file of a service is for this process.

    The kernel would follow an absolute link from our own root.
    """
    parts = path.split('/')
    for end in range(2, len(parts) + 1) if root and links else ():
        place = root + '/'.join(parts[:end])
        target = os.readlink(place) if os.path.islink(place) else ''
        if target.startswith('/'):
            return inside(root, '/'.join((target, *parts[end:])), links - 1)
    return root + path


def unquoted(value: str | None) -> str | None:
    """Return a value without the quotes around it, as oslo.config does."""
    if value and value[0] == value[-1] and value[0] in '\'"':
        return value[1:-1]
    return value


def without_password(value: str | None) -> str | None:
    """Return a value without the password of a URI, if it is one."""
    return value and re.sub(r'(://[^\s/:@]*):[^\s/]*@', r'\1@', value)


def space(path: str) -> Json:
    """Return free bytes under a path of nova-compute."""
    try:
        found = os.statvfs(inside(root_of('nova-compute') or '', path))
        return {'free': found.f_bavail * found.f_frsize}
    except OSError as error:
        return {'error': error.strerror}


def resolved(names: list[str]) -> Json:
    """Return name -> first address, empty when there is none."""
    found = {}
    for name in names:
        try:
            found[name] = socket.getaddrinfo(name, None)[0][4][0]
        except OSError:
            found[name] = ''
    return found


def identities(paths: list[str]) -> Json:
    """Return path -> what tells it from its namesake on another host.

    That is '' for what is not here; what cannot be seen is left out.  The
    device number of a network file system differs between its clients; the
    id that it tells, often 0, does not.
    """
    root, found = root_of('nova-compute') or '', {}
    for path in paths:
        try:
            place = inside(root, path)
            device, inode = os.statvfs(place).f_fsid, os.stat(place).st_ino
            found[path] = f'{device}:{inode}'
        except ABSENT:
            found[path] = ''
        except OSError:
            continue
    return found


def certificates(paths: list[str]) -> Json:
    """Return path -> text of the certificates of libvirt."""
    root = root_of('libvirtd', 'virtqemud', 'virtproxyd')
    found = texts(root or '', paths)
    for path, seen in found.items():
        if root is None and not seen:
            found[path] = {'error': 'libvirt may be in a container'}
    return found


def guest_certificates(uuid: str, paths: list[str]) -> Json | None:
    """Return path -> text of the certificates that a guest's QEMU sees.

    One that is older than a container, or than a mount in it, may not see
    what libvirt sees.
    """
    for pid in guests(uuid):
        root = container(pid)
        if root is None:
            error = 'only root may see the files of QEMU'
            return {path: {'error': error} for path in paths}
        return texts(root, paths)
    return None


def texts(root: str, paths: list[str]) -> Json:
    """Return path -> text of the certificates under a root.

    That is nothing for what is not there, an error for what nobody can see.
    """
    found: Json = {}
    for path in paths:
        try:
            with open(inside(root, path)) as stream:
                text = stream.read(100000)
            # Never a private key that stands in the same file.
            blocks = re.findall(
                '-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----',
                text,
                re.DOTALL,
            )
            found[path] = {'pem': '\n'.join(blocks)}
        except ABSENT:
            found[path] = {}
        except OSError as error:
            found[path] = {'error': error.strerror}
    return found


def guests(uuid: str) -> list[int]:
    """Return the process ids of a guest's QEMU."""
    return [pid for pid, argv in processes() if {'-uuid', uuid} <= set(argv)]


def userfaultfd(setting: str, device: str) -> bool:
    """Return whether QEMU may have a userfaultfd without privileges.

    It may where nobody can see that it may not, as where there is a device
    that libvirt can give it.
    """
    root = root_of('libvirtd', 'virtqemud', 'virtproxyd')
    try:
        with open(setting) as stream:
            refused = stream.read().strip() == '0'
    except OSError:
        return True
    return not refused or root is None or os.path.exists(inside(root, device))


def guest_memory(uuid: str, size_kib: int) -> int | None:
    """Return the KiB of its memory that a guest ever touched.

    It is one mapping of QEMU, of the size of the guest's memory.
    """
    for pid in guests(uuid):
        try:
            with open(f'/proc/{pid}/smaps') as lines:
                size = 0
                for line in lines:
                    if line.startswith('Size:'):
                        size = int(line.split()[1])
                    elif line.startswith('Rss:') and size == size_kib:
                        return int(line.split()[1])
        except OSError:
            continue
    return None


def connect(host: str, port: int, timeout: float) -> Json:
    """Return how a connection to a port ends."""
    started = time.time()
    try:
        socket.create_connection((host, port), timeout).close()
        text = 'open'
    except TimeoutError:
        text = 'timed out'
    except OSError as error:
        text = str(error.strerror or error)
    return {'text': text, 'seconds': time.time() - started}


def virsh(uri: str, timeout: float, secrets: bool = True) -> Json | None:
    """Ask a libvirt for its name as a migration from here would.

    Without ``secrets`` it offers no password, to see whether it needs one.
    """
    environment = dict(os.environ, LC_ALL='C')
    if not secrets:
        environment['LIBVIRT_AUTH_FILE'] = '/dev/null'
    started = time.time()
    try:
        done = subprocess.run(
            ['virsh', '-c', uri, 'hostname'],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=environment,
            # Where this is the user's machine, OpenSSH could ask him.
            start_new_session=True,
        )
        text = 'open' if done.returncode == 0 else _last(done.stderr)
    except subprocess.TimeoutExpired:
        text = 'timed out'
    except OSError:
        return None
    return {'text': text, 'seconds': time.time() - started}


def _last(data: bytes) -> str:
    lines = [
        line.strip()
        for line in data.decode('utf-8', 'replace').splitlines()
        if 'error:' in line
    ]
    wanted = [line for line in lines if 'failed to connect' not in line]
    return (wanted or lines or ['it failed'])[-1].replace('error: ', '', 1)


def listen(ports: list[int], seconds: float) -> None:
    """Listen on the first free port until the input or the time ends."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    for port in ports:
        try:
            server = socket.create_server(
                ('', port), family=family, dualstack_ipv6=dual
            )
        except OSError:
            continue
        break
    else:
        print(json.dumps({'listening': None}), flush=True)
        return
    print(json.dumps({'listening': port}), flush=True)
    watched: list[typing.Any] = [server, 0]
    limit = time.time() + seconds
    while time.time() < limit:
        ready = select.select(watched, [], [], 0.5)[0]
        if 0 in ready and not os.read(0, 64):
            break
        if server in ready:
            server.accept()[0].close()


def qemu(path: str, timeout: float) -> Json | None:
    """Ask a QEMU without a guest what its build can do."""
    if not path.startswith('/'):
        return None
    asked = '\n'.join(
        json.dumps({'execute': name})
        for name in (
            'qmp_capabilities',
            'query-version',
            'query-migrate-capabilities',
            'query-commands',
            'quit',
        )
    )
    try:
        done = subprocess.run(
            [
                path,
                *('-machine', 'none', '-nodefaults', '-display', 'none'),
                *('-S', '-qmp', 'stdio'),
            ],
            input=asked.encode(),
            capture_output=True,
            timeout=timeout,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {'error': str(error)}
    capabilities = []
    commands = []
    for line in done.stdout.decode('utf-8', 'replace').splitlines():
        try:
            answer = json.loads(line).get('return')
        except (ValueError, AttributeError):
            continue
        for item in answer if isinstance(answer, list) else ():
            if 'capability' in item:
                capabilities.append(item['capability'])
            elif 'name' in item:
                commands.append(item['name'])
    wanted = ('migrate', 'nbd-server-start', 'blockdev-mirror')
    return {
        'capabilities': capabilities,
        'commands': [name for name in commands if name in wanted],
    }


def log_files() -> dict[str, str]:
    """Return path -> name of the files that nova-compute logs to.

    The path is that of an open file, which leads to it from anywhere: the
    name is one of the service, and may lead to another file or to none
    where the service is in a container.
    """
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for pid, _argv in processes('nova-compute'):
        for path in glob.glob(f'/proc/{pid}/fd/*'):
            try:
                name, status = os.readlink(path), os.stat(path)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and re.search(
                r'\.(log|out)$', name
            ):
                place = (status.st_dev, status.st_ino)
                found.setdefault(place, (path, name))
    return dict(found.values())


def log_lines(uuid: str, request_id: str) -> Json:
    """Return what nova-compute's log says about a migration.

    That is the names of its files, those that this user may not read, and
    lines.

    :param request_id: leaves out what is said of other migrations of the
        server; without one all of them are returned
    """
    names, unread, found = [], [], []
    for path, name in sorted(log_files().items(), key=lambda item: item[1]):
        names.append(name)
        try:
            with open(path, 'rb') as stream:
                stream.seek(max(0, os.path.getsize(path) - 4000000))
                lines = stream.read().decode('utf-8', 'replace').splitlines()
        except OSError:
            unread.append(name)
            continue
        found += [
            str(without_password(line[:1000]))
            for line in about(lines, uuid, request_id)
            if re.search(r' (WARNING|ERROR|CRITICAL) |igration', line)
        ]
    return {'files': names, 'unread': unread, 'lines': found[-300:]}


def about(
    lines: list[str], uuid: str, request_id: str
) -> collections.abc.Iterator[str]:
    """Yield the lines of a request; a traceback follows its first line."""
    ours = not request_id
    for line in lines:
        # Some lines have the request of another service before their own.
        named = re.findall(r'req-[0-9a-f]{8}-[0-9a-f-]{27}', line)
        if named and request_id:
            ours = request_id in named
        if ours and (uuid in line or (named and request_id)):
            yield line


def at_once(call: Action, items: list[list[typing.Any]]) -> list[typing.Any]:
    """Return the results of a call for each list of arguments."""
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        return list(pool.map(lambda item: call(*item), items))


ACTIONS: dict[str, Action] = {
    'configuration': configuration,
    'space': space,
    'resolved': resolved,
    'identities': identities,
    'certificates': certificates,
    'guest_certificates': lambda item: guest_certificates(*item),
    'userfaultfd': lambda item: userfaultfd(*item),
    'guest_memory': lambda item: guest_memory(*item),
    'connect': lambda items: at_once(connect, items),
    'virsh': lambda items: at_once(virsh, items),
    'qemu': lambda item: qemu(*item),
    'log': lambda item: log_lines(*item),
}


def main(lifetime: int) -> None:
    # Nothing may stay behind when the connection breaks.
    signal.alarm(lifetime)
    request = json.loads(sys.stdin.readline())
    if 'listen' in request:
        listen(*request['listen'])
        return
    # At once: what waits for a dropped packet must not hold the others.
    with concurrent.futures.ThreadPoolExecutor(len(request) or 1) as pool:
        answer = dict(
            pool.map(
                lambda item: (item[0], ACTIONS[item[0]](item[1])),
                request.items(),
            )
        )
    print(json.dumps(answer))


if __name__ == '__main__':
    main(int(sys.argv[1]))
