/* SPDX-License-Identifier: MIT */
/* Changes of a response in which the application has said everything, before its head is made: what the
 * server makes of a file that it was named. */
#pragma once

#include "http/response.h"

/* The value of the first field of that name, until the next change, or a span with data NULL; Content-Length
 * and Connection are not among the fields. */
Span response_field(const Response *r, Span name);
void response_remove_field(Response *r, Span name);

/* Another status with its usual reason; the fields stay. 0 or -ENOMEM. */
int response_replace_status(Response *r, unsigned status);
