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

"""Configuration of the documentation."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'ext'))

extensions = ['openstackdocstheme', 'cliff.sphinxext', 'registered']
openstackdocs_repo_name = 'openstack/osc-lab'
openstackdocs_auto_name = False
openstackdocs_bug_project = 'osc-lab'
openstackdocs_pdf_link = False
openstackdocs_use_storyboard = False

autoprogram_cliff_application = 'openstack'
autoprogram_cliff_ignored = [
    '--help',
    '--format',
    '--column',
    '--max-width',
    '--fit-width',
    '--print-empty',
    '--prefix',
    '--noindent',
    '--quote',
    '--sort-column',
    '--sort-ascending',
    '--sort-descending',
]
autoprogram_cliff_app_dist_name = 'osc-lab'

project = 'osc-lab'
copyright = 'OpenStack contributors'
master_doc = 'index'
exclude_patterns: list[str] = []
pygments_style = 'native'
# Blocks that name no language are no Python.
highlight_language = 'none'
# Two hyphens begin an option; they are no dash.
smartquotes = False
html_theme = 'openstackdocs'
man_pages = [
    (
        'cli/man/openstack-lab',
        'openstack-lab',
        'operator commands for the openstack shell',
        ['OpenStack contributors'],
        1,
    )
]
