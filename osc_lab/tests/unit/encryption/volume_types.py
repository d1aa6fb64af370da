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

"""Volume types that a test holds."""

import dataclasses

from osc_lab.encryption import model
from osc_lab import exceptions


def error(status=500):
    return exceptions.ServiceError('broken', status=status)


class Store:
    """Holds types; an error in ``fails`` is raised when it was done.

    :ivar fails: name of a method -> (error, whether it is done all the same)
    """

    def __init__(self, *found):
        self.found = {item.id: item for item in found}
        self.fails = {}
        self.shared = {}

    def _did(self, name, work):
        error, done = self.fails.get(name, (None, True))
        if done:
            work()
        if error:
            raise error

    def types(self):
        return list(self.found.values())

    def create_type(self, name, description, properties):
        item = model.VolumeType('own', name, description, False, properties)
        self._did('create_type', lambda: self.found.update(own=item))

    def delete_type(self, type_id):
        self._did('delete_type', lambda: self.found.pop(type_id))

    def create_encryption(self, type_id, encryption):
        item = dataclasses.replace(self.found[type_id], encryption=encryption)
        self._did(
            'create_encryption', lambda: self.found.update({type_id: item})
        )

    def encryption(self, type_id):
        self._did('encryption', lambda: None)
        if type_id not in self.found:
            raise error(404)
        return self.found[type_id].encryption

    def share(self, type_id, project):
        own = self.shared.setdefault(type_id, set())
        self._did('share', lambda: own.add(project))

    def projects(self, type_id):
        self._did('projects', lambda: None)
        return self.shared.get(type_id, set())

    def publish(self, type_id, description, is_public):
        item = dataclasses.replace(
            self.found[type_id], description=description, is_public=is_public
        )
        self._did('publish', lambda: self.found.update({type_id: item}))
