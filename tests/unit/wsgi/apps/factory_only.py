# SPDX-License-Identifier: MIT
def create_app():
    return None
