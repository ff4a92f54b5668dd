# SPDX-License-Identifier: MIT
"""A package without an application of its own."""
