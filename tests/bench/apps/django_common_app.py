# SPDX-License-Identifier: MIT
from django_site import make

app = make(["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"])
