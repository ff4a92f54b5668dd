/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648 §4), one way. */
#pragma once

#include "base/span.h"

/* Decodes up to the first octet that is no digit, "=" for one, or until `size` octets are in `to`. Returns
 * their number. */
size_t base64_decode(Span s, char *to, size_t size);
