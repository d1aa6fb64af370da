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

"""Bring a volume type into being, or say why it is left alone."""

import collections.abc
import dataclasses
import logging
import random
import shlex
import time
import typing

from osc_lab.encryption import compare
from osc_lab.encryption import maker
from osc_lab.encryption import mark as mark_
from osc_lab.encryption import model
from osc_lab.encryption import scratch
from osc_lab.encryption import store as store_
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab import plan

LOG = logging.getLogger(__name__)

Prove: typing.TypeAlias = collections.abc.Callable[[str], None]

#: How often a run that was overtaken by another one starts anew.
ATTEMPTS = 20

#: Seconds to wait for a run of another machine, whose process nobody
#: here can see, since its last sign of life; a run needs a second or two
#: between its requests.
PATIENCE_ELSEWHERE = 20.0

_POLL = 0.5

#: A request to create a type that was answered so changed nothing.
_REFUSED = frozenset({400, 401, 403, 404, 405, 406, 413, 429})


@dataclasses.dataclass(frozen=True)
class Actor:
    """The process that runs the command.

    :param host: name of this machine, or of what of it has process ids of
        its own
    :param process: own process id
    :param runs: whether another process of this machine still runs
    """

    host: str
    process: int
    runs: collections.abc.Callable[[int], bool]

    def mark(self) -> mark_.Mark:
        return mark_.new(self.host, self.process)

    def is_gone(self, mark: mark_.Mark) -> bool | None:
        """Return whether the owner of a mark ended; None: cannot know."""
        if mark.host != self.mark().host:
            return None
        return mark.process == self.process or not self.runs(mark.process)


class Found(typing.NamedTuple):
    """Types of the wished name.

    :param finished: those without a mark, with encryption and projects
    :param unfinished: those with a mark
    """

    finished: tuple[model.VolumeType, ...]
    unfinished: tuple[model.VolumeType, ...]


class Result(typing.NamedTuple):
    """A type that is as wished, and whether this run made it."""

    volume_type: model.VolumeType
    changed: bool


def look(store: store_.Store, name: str) -> Found:
    """Return what is known about types of a name."""
    same = [item for item in store.types() if item.name == name]
    unfinished = tuple(item for item in same if mark_.read(item.description))
    finished = (
        _complete(store, item) for item in same if item not in unfinished
    )
    return Found(tuple(filter(None, finished)), unfinished)


def _complete(
    store: store_.Store, item: model.VolumeType
) -> model.VolumeType | None:
    """Return all of a type, None when somebody removed it meanwhile."""
    # Only an administrator may ask who has access.
    private = item.is_public is False
    try:
        return dataclasses.replace(
            item,
            encryption=store.encryption(item.id),
            projects=store.projects(item.id) if private else None,
        )
    except exceptions.ServiceError as error:
        if error.status != 404 or any(
            other.id == item.id for other in store.types()
        ):
            # One answer is not enough: a second type would be made.
            raise
        return None


def check(found: Found, wish: model.Wish) -> model.VolumeType | None:
    """Return the finished type, if there is one and it is as wished.

    :raises Conflict: when it differs; with each field
    """
    if not found.finished:
        return None
    if len(found.finished) > 1:
        raise exceptions.Conflict(
            _('There are %(count)d volume types named "%(name)s": %(ids)s')
            % {
                'count': len(found.finished),
                'name': wish.name,
                'ids': ' '.join(item.id for item in found.finished),
            },
            _('Delete those that are not used, by ID.'),
        )
    (item,) = found.finished
    differences = compare.differences(item, wish)
    if differences:
        raise exceptions.Conflict(
            _('Volume type "%(name)s" exists and differs: %(differences)s')
            % {
                'name': wish.name,
                'differences': compare.sentence(differences),
            },
            _(
                'It was left alone. Use another --name, or options that '
                'match it.'
            ),
        )
    return item


def preview(
    store: store_.Store,
    wish: model.Wish,
    actor: Actor,
    prove: Prove | None = None,
) -> plan.Plan:
    """Return the steps that apply() would take; empty when none.

    :raises Conflict: as apply() would
    """
    found = look(store, wish.name)
    steps = []
    for item in found.unfinished:
        steps += [
            _removal(
                'volume', volume.id, scratch.removal(volume.id, volume.status)
            )
            for volume in scratch.left_over(store, item.id)
        ]
        steps.append(
            _removal(
                'volume type',
                item.id,
                f'openstack volume type delete {shlex.quote(item.id)}',
            )
        )
    if check(found, wish) is None:
        made = maker.Maker(store, wish, actor.mark(), prove)
        steps.extend(made.steps().steps)
    return plan.Plan(tuple(steps))


def _removal(kind: str, found: str, command: str) -> plan.Step:
    return plan.Step(
        _('remove the %(kind)s %(id)s that an unfinished run left')
        % {'kind': kind, 'id': found},
        lambda: None,
        command,
    )


def apply(
    store: store_.Store,
    wish: model.Wish,
    actor: Actor,
    prove: Prove | None = None,
    before: collections.abc.Callable[[], None] | None = None,
) -> Result:
    """Make the wished type unless it exists; any number of runs at once.

    :param prove: see maker.Maker
    :param before: called once, when a type has to be made, to refuse what
        cannot work

    :raises Conflict: when a type of that name differs, or may not be
        removed
    :raises OperationFailed: when a step failed; what was done is undone
    :raises ServiceError: when nothing was changed
    """
    changed = False
    unseen = 0
    for attempt in range(ATTEMPTS):
        found = look(store, wish.name)
        if found.unfinished:
            changed |= _settle(store, found.unfinished, actor)
            continue
        item = check(found, wish)
        if item is not None:
            return Result(item, changed)
        if before is not None:
            before()
            before = None
        try:
            _make(store, wish, actor, prove)
            changed = True
        except maker.Lost as lost:
            unseen += isinstance(lost, maker.Unseen)
            LOG.debug('overtaken by another run, attempt %d', attempt)
            time.sleep(random.uniform(0.05, 0.5))  # noqa: S311
    if unseen == ATTEMPTS:
        raise exceptions.Conflict(
            _('Cinder refuses the name "%s" as taken, and shows no such type')
            % wish.name,
            _('Use another name: --name.'),
        )
    raise exceptions.OperationFailed(
        _('Other runs make and remove "%s" again and again') % wish.name,
        _('Find out who, and run this again.'),
    )


def _make(
    store: store_.Store, wish: model.Wish, actor: Actor, prove: Prove | None
) -> None:

    def settle(unfinished: list[model.VolumeType]) -> None:
        _settle(store, unfinished, actor)

    made = maker.Maker(store, wish, actor.mark(), prove, settle)
    try:
        made.steps().run()
    except exceptions.UndoFailed:
        raise
    except exceptions.ServiceError as error:
        if error.status in _REFUSED and not made.created:
            raise
        raise exceptions.OperationFailed(
            _('Making "%(name)s" failed, and everything was undone: %(why)s')
            % {'name': wish.name, 'why': error.message},
            error.remedy,
        ) from error


def _settle(
    store: store_.Store,
    unfinished: collections.abc.Iterable[model.VolumeType],
    actor: Actor,
) -> bool:
    """Wait for the owners of unfinished types; remove what they left.

    :returns: whether something was removed
    """
    removed = False
    for item in unfinished:
        if not _wait(store, item, actor):
            continue
        LOG.warning(
            _('Removing the unfinished type %s that another run left.'),
            item.id,
        )
        removed |= _discard(store, item)
    return removed


def _discard(store: store_.Store, item: model.VolumeType) -> bool:
    """Remove a type, and the volumes that were to prove it.

    :raises Conflict: when Cinder refuses, as somebody uses the type
    :raises OperationFailed: when Cinder does not tell whether it is gone
    """
    for again in (True, False):
        try:
            store.delete_type(item.id)
        except exceptions.ServiceError as error:
            if error.status == 404:
                return False
            if again and scratch.remove_scratch(store, item.id):
                continue
            if error.unclear:
                raise exceptions.OperationFailed(
                    _('No answer whether type %(id)s is gone: %(why)s')
                    % {'id': item.id, 'why': error.message},
                    _('Run this again.'),
                ) from error
            raise exceptions.Conflict(
                _('The unfinished type %(id)s cannot be removed: %(why)s')
                % {'id': item.id, 'why': error.message},
                _('Remove what uses it, then the type.'),
            ) from error
        return True
    raise AssertionError


def _wait(
    store: store_.Store,
    item: model.VolumeType,
    actor: Actor,
) -> bool:
    """Return True when the type's owner is gone and it is still marked.

    :raises Conflict: when it is a process of this machine that never ends
    """
    mark = mark_.read(item.description)
    assert mark is not None
    began = heard = time.monotonic()
    told = False
    while True:
        gone = actor.is_gone(mark)
        still = any(
            found.id == item.id and found.description == item.description
            for found in store.types()
        )
        if not still:
            return False
        now = time.monotonic()
        late = now - began > scratch.LONGEST
        if gone is None:
            if not late and scratch.at_work(store, item.id):
                heard = now
            gone = now - heard > PATIENCE_ELSEWHERE
        elif not gone and late:
            raise _held(item, mark)
        if gone:
            return True
        if not told:
            told = True
            LOG.warning(
                _(
                    'Waiting for process %(process)d on %(host)s, which is '
                    'making this type.'
                ),
                {'process': mark.process, 'host': mark.host},
            )
        time.sleep(_POLL)


def _held(item: model.VolumeType, mark: mark_.Mark) -> exceptions.Conflict:
    return exceptions.Conflict(
        _('Process %(process)d of this machine still makes type %(id)s')
        % {'process': mark.process, 'id': item.id},
        _(
            'Wait for it, or end it. When it is no openstack command: '
            'openstack volume type delete %s'
        )
        % item.id,
    )
