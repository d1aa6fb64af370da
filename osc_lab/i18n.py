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

"""Translation of messages."""

import collections.abc
import contextlib
import locale

import oslo_i18n

_translators = oslo_i18n.TranslatorFactory(domain='osc_lab')

_ = _translators.primary


@contextlib.contextmanager
def libraries_in_english() -> collections.abc.Iterator[None]:
    """Keep the C library and libvirt from translating meanwhile.

    Causes are told by their words, see :mod:`osc_lab.migration.reach`; the
    shell has chosen the user's language, for the whole process.
    """
    before = locale.setlocale(locale.LC_MESSAGES)
    locale.setlocale(locale.LC_MESSAGES, 'C')
    try:
        yield
    finally:
        locale.setlocale(locale.LC_MESSAGES, before)
