/* SPDX-License-Identifier: MIT */
/* The name by which the log's records of one request are found: REQUEST_ID= in the journal. */
#pragma once

#include "worker/connection.h"

#define REQUEST_ID_MAX 128
#define REQUEST_ID_KEY "REQUEST_ID="
#define REQUEST_ID_FIELD_SIZE (sizeof REQUEST_ID_KEY + REQUEST_ID_MAX)

/* "REQUEST_ID=…": what a trusted proxy says in X-Request-ID, if that is 1 to 128 octets of A-Z a-z 0-9 and
 * "-._:+/=@"; else 16 digits, which no other request has. Made when it is asked for, and the same each time.
 * The result is `to`. */
char *request_id_field(const Loop *l, const Connection *c, char to[static REQUEST_ID_FIELD_SIZE]);
