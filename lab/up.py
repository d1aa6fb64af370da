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

"""Bring a lab up."""

import contextlib
import fcntl
import os
import pathlib
import time
import typing

from lab import allot
from lab import env
from lab import errors
from lab import graph
from lab import health
from lab import install
from lab import model
from lab import passwords
from lab import process
from lab import profiles
from lab import progress
from lab import rest
from lab import seed
from lab.services import common

#: Seconds until everything must have reported to its API.
_READY_TIMEOUT = 180.0


@contextlib.contextmanager
def lock(state: pathlib.Path) -> typing.Iterator[None]:
    """Hold the state folder's lock; the kernel frees it with the process.

    :raises LabError: another command of the lab holds it
    """
    state.mkdir(parents=True, exist_ok=True)
    with open(state / 'lock', 'w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.LabError(
                f'another `lab up` or `lab down` works in {state}; '
                'wait for it, or stop it first'
            ) from None
        yield


def layout_of(state: pathlib.Path, record: allot.Record) -> model.Layout:
    return model.Layout(
        state,
        install.cache_folder(),
        record.block,
        record.epmd_port,
        record.ports,
        record.host_ports,
    )


def context_of(layout: model.Layout, record: allot.Record) -> common.Context:
    return common.Context(
        layout,
        passwords.settle(layout.state / 'passwords.json'),
        record.key_manager,
    )


def choose(
    old: allot.Record | None, profile: str | None, key_manager: str | None
) -> tuple[str, str]:
    """Profile and key manager of this run.

    A lab never shrinks, and keeps its key manager: volumes made with one
    cannot be opened with the other.

    :param profile: as asked for; None is what it was, or all
    :raises LabError: the key manager would change
    """
    if old is None:
        return profile or profiles.PROFILES[-1], key_manager or 'barbican'
    if key_manager not in (None, old.key_manager):
        raise errors.LabError(
            f'this lab has --key-manager {old.key_manager}, and its volumes '
            f'depend on it; use another state folder (--state) for '
            f'{key_manager}'
        )
    wanted = profile or old.profile
    return profiles.widest(wanted, old.profile), old.key_manager


def _wait_ready(
    context: common.Context, profile: str, rows: tuple[model.Service, ...]
) -> None:
    """Wait until every part has reported to its API.

    :raises LabError: one has ended, or says nothing
    """
    layout = context.layout
    admin = seed.admin(context)
    deadline = time.monotonic() + _READY_TIMEOUT
    while True:
        try:
            missing = health.missing(layout, admin, profile)
        except (rest.Refused, *rest.UNREACHABLE) as error:
            missing = {str(error)}
        if not missing:
            return
        running = {p.service for p in process.find(layout.state)}
        for row in rows:
            if row.name not in running:
                log = process.log_of(layout, row.name)
                raise errors.StepError(f'{row.name} has ended', log)
        if time.monotonic() > deadline:
            raise errors.LabError(
                f'no report from {", ".join(sorted(missing))}; the logs are '
                f'in {layout.log}'
            )
        time.sleep(0.5)


def _install(
    layout: model.Layout, profile: str, report: progress.Progress
) -> None:
    installer = install.Installer(layout, profile != profiles.PROFILES[0])
    with installer.lock():
        graph.run(installer.steps(), 2, report)


def up(
    state: pathlib.Path,
    profile: str | None,
    key_manager: str | None,
    report: progress.Progress,
) -> None:
    """Bring a lab up, or widen it; nothing that runs is started anew.

    :param state: absolute path of the state folder
    :param profile: None for what the lab had, or else everything
    :raises LabError: with the step that failed and its log
    """
    allot.check_state(state)
    allot.check_contents(state)
    with lock(state):
        # The database and others have users of their own.
        state.chmod(0o755)
        old = allot.load(state)
        running = bool(process.find(state))
        wanted, manager = choose(old, profile, key_manager)
        record, claim = allot.settle(state, running, wanted, manager)
        with claim:
            allot.save(state, record)
            layout = layout_of(state, record)
            for folder in (layout.log, layout.run, layout.data):
                folder.mkdir(parents=True, exist_ok=True)
            layout.temporary.mkdir(mode=0o700, exist_ok=True)
            _install(layout, wanted, report)
            context = context_of(layout, record)
            env.write_clouds(context, wanted)
            worked = graph.run(
                profiles.steps(context, wanted),
                2 * max(2, os.cpu_count() or 2),
                report,
            )
            rows = profiles.services(context, wanted)
            start = time.monotonic()
            _wait_ready(context, wanted, rows)
            if worked:
                report.line('all parts report', time.monotonic() - start)
    verb = 'is up' if worked else 'was up already, nothing to do'
    report.line(f'lab {state} ({record.profile}) {verb}')
