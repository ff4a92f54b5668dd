# SPDX-License-Identifier: MIT
"""The same application (its routes: tests/e2e/framework_table.py) written with each framework, as its own manual
would have it; MODULE.app, also under two checkers of PEP 3333: MODULE.validated and MODULE.linted."""
