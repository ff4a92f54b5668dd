/* SPDX-License-Identifier: MIT */
/* The fields by which proxies tell what they saw, as a set: which of them are believed is the administrator's
 * choice, since a proxy passes on those that it does not write itself. */
#pragma once

typedef enum ProxyHeader {
    PROXY_X_FORWARDED_FOR = 1 << 0,
    PROXY_X_FORWARDED_PROTO = 1 << 1,
    PROXY_X_FORWARDED_HOST = 1 << 2,
    PROXY_X_FORWARDED_PORT = 1 << 3,
    PROXY_X_FORWARDED_PREFIX = 1 << 4,
    PROXY_FORWARDED = 1 << 5, /* RFC 7239 */
    PROXY_X_FORWARDED_SSL = 1 << 6,
    PROXY_X_FORWARDED_PROTOCOL = 1 << 7,
    PROXY_SCRIPT_NAME = 1 << 8, /* one of proxy.forwarder_headers */
    PROXY_HEADERS_ALL = (1 << 9) - 1,
} ProxyHeader;

/* The field of that name, in any case, as proxy.headers has it; or -EINVAL. */
int proxy_header_from_name(const char *name);
