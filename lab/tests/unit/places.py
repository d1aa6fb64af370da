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

"""Labs that exist on paper only, for the tests of what is decided."""

import dataclasses
import pathlib

from lab import model
from lab import passwords
from lab.services import common

#: The word that stands for every secret.
SECRET = 'unspoken'


def layout(state: pathlib.Path | None = None) -> model.Layout:
    return model.Layout(
        state=state or pathlib.Path('/nowhere/state'),
        cache=pathlib.Path('/nowhere/cache'),
        block='127.79.3',
        epmd_port=21000,
    )


def context(
    key_manager: str = 'barbican', state: pathlib.Path | None = None
) -> common.Context:
    count = len(dataclasses.fields(passwords.Passwords)) - 2
    words = passwords.Passwords(
        *[SECRET] * count, (SECRET, SECRET), (SECRET, SECRET)
    )
    return common.Context(layout(state), words, key_manager)
