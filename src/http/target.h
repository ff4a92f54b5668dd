/* SPDX-License-Identifier: MIT */
/* Parts of a request target. */
#pragma once

#include "base/span.h"

/* Decodes %XX once; '+' and malformed escapes stay as they are. to: room for path.size octets. Returns the
 * number written. */
size_t target_decode_path(Span path, char *to);

/* host [":" port], as in Host and in an absolute-form target: a name, an IPv4 or a bracketed IPv6 address,
 * never empty (RFC 9110 §4.2.1, RFC 3986 §3.2.2). Userinfo is refused (RFC 9110 §4.2.4). */
bool target_authority_is_valid(Span authority);
