# SPDX-License-Identifier: MIT
"""A small Django project: sessions, a form, files, streaming; its data in STATE_DIRECTORY."""
