/* SPDX-License-Identifier: MIT */
/* Names of the fields that proxies write. */
#include "base/proxy-headers.h"

#include "base/cleanup.h"

#include <strings.h>

int proxy_header_from_name(const char *name)
{
    static const char *const names[] = {"x-forwarded-for",  "x-forwarded-proto",   "x-forwarded-host",
                                        "x-forwarded-port", "x-forwarded-prefix",  "forwarded",
                                        "x-forwarded-ssl",  "x-forwarded-protocol"};

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return 1 << i;
    return -EINVAL;
}
