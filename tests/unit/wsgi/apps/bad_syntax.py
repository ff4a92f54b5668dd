# SPDX-License-Identifier: MIT
application = (
