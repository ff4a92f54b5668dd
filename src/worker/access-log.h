/* SPDX-License-Identifier: MIT */
/* The access log: a line a response in a file, or a journal record with fields. */
#pragma once

#include "base/cleanup.h"
#include "base/parse.h"
#include "http/request.h"
#include "http/response.h"
#include "wsgi/call.h"

typedef struct AccessLog AccessLog;

typedef struct AccessEntry {
    const Request *request;   /* as far as it was parsed; method and target may be empty */
    const Response *response; /* NULL: refused by the server, see status */
    unsigned status;
    uint64_t body_size; /* octets of body that went out */
    const WsgiPeer *peer;
    const char *request_id; /* "REQUEST_ID=…" for the journal; a file does not have it */
    usec_t duration_usec;
} AccessEntry;

/* target: "journal" or a file's path, opened for appending (mode 0640). format: valid by
 * access_format_parse(). The caller owns *ret. 0, -ENOMEM, or what open(2) says. */
int access_log_new(const char *target, const char *format, AccessLog **ret);
AccessLog *access_log_free(AccessLog *l);
DEFINE_CLEANUP(AccessLog, access_log)

bool access_log_is_journal(const AccessLog *l);

/* Adds one line; lines are kept until access_log_flush() or 32 KiB, and each write(2) has whole lines only.
 * What can't be written is dropped and counted, never waited for. Thread: one at a time. */
void access_log_add(AccessLog *l, const AccessEntry *e);
void access_log_flush(AccessLog *l);
