/* SPDX-License-Identifier: MIT */
/* Status codes and their reason phrases (RFC 9110 §15). */
#pragma once

/* "Not Found" for 404; "Unknown" for a code without a name here. */
const char *status_reason(unsigned status);
