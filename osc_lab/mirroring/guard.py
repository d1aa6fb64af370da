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

"""The guard: what ends a mirror on its host when nobody else does.

It is started before the rows are made and finds them by the mark that
all of them carry, so a command that is killed at any point leaves rows
that live no longer than was asked.  It waits as a transient timer where
systemd runs, else as a process that ends by itself.

The scripts are constants; values reach them as arguments.
"""

import re

from osc_lab.mirroring import marks

#: The number of a process; other digits than these are none of one.
_PROCESS = re.compile('[0-9]+')

#: Arguments: id, UUID of the bridge, option --db of ovs-vsctl or ''.
#: Its only chance may fall into a restart of ovsdb-server, so it waits.
_REMOVE = r"""
find_rows() {
    ovs-vsctl --timeout=60 --retry --no-wait ${db:+"$db"} \
        --bare --columns=_uuid find "$1" "external_ids:MARK=$id"
}
id=$1 bridge=$2 db=$3
mirrors=$(find_rows Mirror) || exit 1
ports=$(find_rows Port) || exit 1
set --
for row in $mirrors; do
    set -- "$@" -- --if-exists remove Bridge "$bridge" mirrors "$row"
done
for row in $ports; do
    set -- "$@" -- --if-exists remove Bridge "$bridge" ports "$row"
done
[ $# -eq 0 ] || exec ovs-vsctl --timeout=60 --retry --no-wait ${db:+"$db"} "$@"
""".replace('MARK', marks.ID)

#: Arguments: id, seconds, what to run, and its arguments.  A guard whose
#: user may not open the database would be none.
_START = r"""
id=$1 seconds=$2 body=$3
shift 3
command -v ovs-vsctl >/dev/null || exit 3
ovs-vsctl --timeout=5 --no-wait ${3:+"$3"} get Bridge "$2" name >/dev/null ||
    exit 3
if [ -d /run/systemd/system ] && systemd-run --quiet --collect \
    --unit="osc-lab-$id" --on-active="$seconds" \
    --timer-property=AccuracySec=1s \
    /bin/sh -c "$body" osc-lab-guard "$@" 2>/dev/null
then
    echo systemd
    exit 0
fi
command -v setsid >/dev/null || exit 3
setsid sh -c 'sleep "$1"; body=$2; shift 2; exec sh -c "$body" guard "$@"' \
    osc-lab-guard "$seconds" "$body" "$@" </dev/null >/dev/null 2>&1 &
echo "pid $!"
"""

#: Arguments: id, process.  Without a process all are looked at: the answer
#: of the one that was started may be lost.
_STOP = r"""
id=$1 process=$2
systemctl stop "osc-lab-$id.timer" 2>/dev/null || :
for process in ${process:-$(cd /proc && echo [0-9]*)}; do
    argv=$(tr '\0' '\n' 2>/dev/null <"/proc/$process/cmdline") || continue
    if printf '%s\n' "$argv" | grep -qxF osc-lab-guard &&
        printf '%s\n' "$argv" | grep -qxF -- "$id"
    then
        kill -- "-$process" 2>/dev/null || :
    fi
done
"""

#: Argument: the device.  Without IPv6 it sends nothing by itself: what
#: it sent would be dropped, with a line in the log of the switch.
_BRING_UP = r"""
tries=0
until ip link show dev "$1" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || { echo "no device $1" >&2; exit 3; }
    sleep 0.1
done
ip link set dev "$1" addrgenmode none 2>/dev/null || :
{ echo 1 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"; } 2>/dev/null || :
exec ip link set dev "$1" up
"""

#: Argument: the device.  Only a dummy device: another kind is not what
#: ovs-tcpdump and the recipe make.
_REMOVE_DUMMY = r"""
ip -details link show dev "$1" 2>/dev/null | grep -qw dummy || exit 0
exec ip link delete dev "$1"
"""


def start(mirror_id: str, seconds: float, bridge: str, db: str) -> list[str]:
    """Return the command that starts a guard.

    It prints what stop() needs, and fails with status 3 where no guard
    is possible.

    :param bridge: UUID
    :param db: remote of the local database, or ''
    """
    return _sh(
        _START,
        mirror_id,
        str(max(1, round(seconds))),
        _REMOVE,
        mirror_id,
        bridge,
        f'--db={db}' if db else '',
    )


def stop(mirror_id: str, guard: str) -> list[str]:
    """Return the command that ends a guard; none is no error.

    :param guard: what the command of start() printed, or '' when that
        is not known
    """
    kind, _space, process = guard.partition(' ')
    if kind == 'systemd':
        process = '0'
    if not _PROCESS.fullmatch(process):
        process = ''
    return _sh(_STOP, mirror_id, process)


def bring_up(device: str) -> list[str]:
    """Return the command that brings a device of ours up."""
    return _sh(_BRING_UP, device)


def remove_dummy(device: str) -> list[str]:
    """Return the command that removes a dummy device; none is no error."""
    return _sh(_REMOVE_DUMMY, device)


def known(text: str) -> str:
    """Return what a guard printed, or '' when it is no answer of ours."""
    text = text.strip()
    kind, _space, process = text.partition(' ')
    if text == 'systemd' or (kind == 'pid' and _PROCESS.fullmatch(process)):
        return text
    return ''


def _sh(script: str, *arguments: str) -> list[str]:
    return ['sh', '-c', script, 'osc-lab', *arguments]
