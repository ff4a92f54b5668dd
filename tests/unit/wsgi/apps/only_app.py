# SPDX-License-Identifier: MIT
from spec_apps import _answering

app = _answering("app of only_app")
