# SPDX-License-Identifier: MIT
def __getattr__(name):
    raise AttributeError("deep down")
