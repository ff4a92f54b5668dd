# SPDX-License-Identifier: MIT
import nosuch_dependency
