# SPDX-License-Identifier: MIT
from django_site import make

app = make([])
