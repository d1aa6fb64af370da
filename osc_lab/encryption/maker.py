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

"""Make one volume type, step by step, so that any step may fail.

The type is private and marked until everything about it was read back;
one request takes the mark away and publishes it.  The mark names the run
that owns the type: only its owner goes on with it, anybody may remove it
once the owner is gone, and an owner whose type was removed starts anew.

Cinder checks names before it creates, not while; two runs at the same
moment can both succeed.  It then even answers one of them with the
other's type.  So a run knows its type by the mark alone, and looks for a
twin before and after it publishes.  A finished type stays before one that
is not, and else the lower id; who sees a reason to go removes its own.  One
that is finished waits for a lower one that is not: others may have seen it
already, and that one goes when it sees it, or is finished as well.
"""

import collections.abc
import shlex
import time
import typing

from osc_lab.encryption import compare
from osc_lab.encryption import mark as mark_
from osc_lab.encryption import model
from osc_lab.encryption import store as store_
from osc_lab import exceptions
from osc_lab.i18n import _
from osc_lab import plan

Settle: typing.TypeAlias = collections.abc.Callable[
    [list[model.VolumeType]], object
]


class Lost(Exception):
    """Another run was first, or removed what this one made: look anew."""


class Unseen(Lost):
    """Cinder says that the name is taken, and shows no type that has it."""


class Maker:
    """Makes the wished type.  One instance is one attempt.

    :param store: where types are
    :param wish: what is made
    :param mark: names this attempt, and no other
    :param prove: shows, with the id of the type and before anybody else
        can use it, that it encrypts; None leaves the proof out
    :param settle: waits until types are no longer unfinished; None for
        steps that are shown alone
    """

    def __init__(
        self,
        store: store_.TypeStore,
        wish: model.Wish,
        mark: mark_.Mark,
        prove: collections.abc.Callable[[str], None] | None = None,
        settle: Settle | None = None,
    ) -> None:
        self._prove = prove
        self._settle = settle or (lambda unfinished: None)
        self._store = store
        self._wish = wish
        self._mark = mark
        self._id: str | None = None
        self._published = False
        self._under_way = False
        #: Whether the type was there, if only for a moment.
        self.created = False

    def steps(self) -> plan.Plan:
        """Return the steps; see plan.Plan.run() for what it raises."""
        name = shlex.quote(self._wish.name)
        create = 'openstack volume type create --private'
        properties = ''.join(
            f'--property {shlex.quote(f"{key}={value}")} '
            for key, value in sorted(self._wish.properties.items())
        )
        return plan.Plan(
            (
                plan.Step(
                    _('create the private type %s, marked as unfinished')
                    % self._wish.name,
                    self._create,
                    f'{create} {properties}{name}',
                    self._remove,
                    self._by_hand,
                ),
                plan.Step(
                    _('add the encryption'),
                    self._encrypt,
                    f'openstack volume type set {_flags(self._wish)} {name}',
                ),
                plan.Step(
                    _('read everything back and compare'),
                    self._read_back,
                    f'openstack volume type show --encryption-type {name}',
                ),
                *self._proof_steps(name),
                *self._share_steps(name),
                plan.Step(
                    _('publish it')
                    if self._wish.is_public
                    else _('take the mark away; it stays private'),
                    self._publish,
                    f'openstack volume type set {_final(self._wish)} {name}',
                ),
                plan.Step(
                    _('see that it is the only one of its name'),
                    self._stay,
                    'openstack volume type list --long --encryption-type',
                ),
            )
        )

    def _proof_steps(self, name: str) -> collections.abc.Iterator[plan.Step]:
        prove = self._prove
        if prove is not None:
            yield plan.Step(
                _('prove it on a volume, which is removed again'),
                lambda: prove(self._known()),
                f'openstack volume create --size 1 --type {name} proof',
            )

    def _share_steps(self, name: str) -> collections.abc.Iterator[plan.Step]:
        for project in sorted(self._wish.projects):

            def share(project: str = project) -> None:
                self._share(project)

            yield plan.Step(
                _('give project %s access') % project,
                share,
                f'openstack volume type set --project {project} {name}',
            )

    # -- steps

    def _create(self) -> None:
        # An interrupt leaves it so.
        self._under_way = True
        try:
            self._store.create_type(
                self._wish.name, str(self._mark), self._wish.properties
            )
        except exceptions.ServiceError as error:
            self._under_way = error.unclear
            if error.status == 409:
                raise self._taken() from error
            if not self._own(self._arrived(error), must=False):
                raise
        self._under_way = False
        self.created = True
        self._yield_to_twins()

    def _taken(self) -> Lost:
        """Return why the name is taken, as far as that can be seen.

        :raises Conflict: when a type has it in other letters, which a
            database does not tell apart (MySQL, collations named ..._ci)
        """
        found = {item.name for item in self._store.types()}
        if self._wish.name in found:
            return Lost()
        for name in sorted(found):
            if name.casefold() == self._wish.name.casefold():
                raise exceptions.Conflict(
                    _(
                        'Volume type "%(found)s" exists, and to Cinder '
                        '"%(name)s" is the same name'
                    )
                    % {'found': name, 'name': self._wish.name},
                    _('Use another name: --name.'),
                )
        return Unseen()

    def _encrypt(self) -> None:
        type_id = self._known()
        try:
            self._store.create_encryption(type_id, self._wish.encryption)
        except exceptions.ServiceError as error:
            if self._encryption(error) != self._wish.encryption:
                raise

    def _read_back(self) -> None:
        differences = compare.encryption(
            self._encryption(), self._wish.encryption
        )
        if differences:
            raise exceptions.OperationFailed(
                _('The type was not stored as it was sent: %s')
                % compare.sentence(differences),
                _('See the log of cinder-api.'),
            )
        self._yield_to_twins()

    def _share(self, project: str) -> None:
        type_id = self._known()
        try:
            self._store.share(type_id, project)
        except exceptions.ServiceError as error:
            try:
                if project in self._store.projects(type_id):
                    return
            except exceptions.ServiceError:
                raise error from None
            raise

    def _publish(self) -> None:
        type_id = self._known()
        self._published = True
        try:
            self._store.publish(
                type_id, self._wish.final_description, self._wish.is_public
            )
        except exceptions.ServiceError as error:
            if error.status == 404:
                raise Lost from error
            mine = self._own(self._twins(error), must=False)
            if mine is None or not self._is_final(mine):
                raise

    def _stay(self) -> None:
        lower: list[model.VolumeType] = []
        while True:
            self._settle(lower)
            twins = self._twins()
            lower = [
                item
                for item in twins
                if item.id < self._known() and mark_.read(item.description)
            ]
            if not lower:
                self._yield_to(twins)
                return

    # -- what the steps stand on

    def _known(self) -> str:
        assert self._id is not None
        return self._id

    def _twins(
        self, cause: exceptions.ServiceError | None = None
    ) -> list[model.VolumeType]:
        """Return all types of this name, the own one included.

        :param cause: the error to raise when looking fails too
        """
        try:
            return [
                item
                for item in self._store.types()
                if item.name == self._wish.name
            ]
        except exceptions.ServiceError as error:
            raise cause or error from None

    def _arrived(
        self, cause: exceptions.ServiceError | None = None
    ) -> list[model.VolumeType]:
        """Return all types of this name; wait for one that is under way.

        A request whose answer nobody waited for may still be carried out.
        """
        for pause in store_.LATE if self._under_way else ():
            twins = self._twins(cause)
            if self._own(twins, must=False):
                return twins
            time.sleep(pause)
        return self._twins(cause)

    def _own(
        self, twins: list[model.VolumeType], must: bool = True
    ) -> model.VolumeType | None:
        for item in twins:
            if item.id == self._id or mark_.read(item.description) == (
                self._mark
            ):
                self._id = item.id
                return item
        if must:
            raise Lost
        return None

    def _yield_to_twins(self) -> None:
        self._yield_to(self._twins())

    def _yield_to(self, twins: list[model.VolumeType]) -> None:
        """Go on only as the one type of this name that may stay.

        :raises Lost: when another one stays, or the own one is gone
        """
        mine = self._own(twins)
        assert mine is not None
        finished = mark_.read(mine.description) is None
        for item in twins:
            other_finished = mark_.read(item.description) is None
            if item.id < mine.id or (other_finished and not finished):
                raise Lost

    def _encryption(
        self, cause: exceptions.ServiceError | None = None
    ) -> model.Encryption | None:
        try:
            return self._store.encryption(self._known())
        except exceptions.ServiceError as error:
            if error.status == 404:
                raise Lost from error
            raise cause or error from None

    def _is_final(self, item: model.VolumeType) -> bool:
        return (
            item.description == self._wish.final_description
            and item.is_public == self._wish.is_public
        )

    def _remove(self) -> None:
        """Undo: delete the own type, and no other one."""
        for item in self._arrived():
            marked = mark_.read(item.description) == self._mark
            published = self._published and item.id == self._id
            if not marked and not published:
                continue
            try:
                self._store.delete_type(item.id)
            except exceptions.ServiceError:
                if any(item.id == left.id for left in self._twins()):
                    raise

    def _by_hand(self) -> str:
        """Return the command that deletes the own type, and no other one."""
        if self._id is not None:
            return f'openstack volume type delete {self._id}'
        return (
            _(
                'openstack volume type delete with the ID that "openstack '
                'volume type list --long" shows beside "%s"'
            )
            % self._mark
        )


def _flags(wish: model.Wish) -> str:
    made = wish.encryption
    return (
        f'--encryption-provider {made.provider} '
        f'--encryption-cipher {made.cipher} '
        f'--encryption-key-size {made.key_size} '
        f'--encryption-control-location {made.control_location}'
    )


def _final(wish: model.Wish) -> str:
    visibility = '--public' if wish.is_public else '--private'
    return f'--description {shlex.quote(wish.final_description)} {visibility}'
