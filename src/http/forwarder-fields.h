/* SPDX-License-Identifier: MIT */
/* Fields with '_' in their names that proxies of one's own may set, such as SCRIPT_NAME. The same keys of the
 * environ follow from names that anybody can write, as Script-Name: those are reserved for the proxies. */
#pragma once

#include "http/request.h"

/* r: parsed with the same limits. Drops the fields whose name reads in CGI like one of
 * limits->forwarder_fields, but for those of exactly that name (in any case) where the peer is a trusted
 * proxy. 0; or 400 with r->reason, where a name with '_' is not to be dropped but to be refused. */
int forwarder_fields_admit(Request *r, const HttpLimits *limits, bool is_trusted);
