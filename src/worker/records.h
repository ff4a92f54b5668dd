/* SPDX-License-Identifier: MIT */
/* What is written down of a request: its line in the access log, and what went wrong with it. */
#pragma once

#include "worker/connection.h"

/* response: NULL where it is the server's own. */
void record_access(Loop *l, const Connection *c, const Response *response);

/* The application's error, if there was one. */
void record_error(const Loop *l, const Connection *c);

void record_refusal(const Loop *l, const Connection *c, unsigned status, const char *reason);

/* Method and target, or what came in their place. The result is `to`. */
char *record_describe_request(const Connection *c, char *to, size_t size);
