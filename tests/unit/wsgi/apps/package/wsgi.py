# SPDX-License-Identifier: MIT
from types import SimpleNamespace

from spec_apps import _answering

application = _answering("package")
holder = SimpleNamespace(inner=SimpleNamespace(app=_answering("inner")))
