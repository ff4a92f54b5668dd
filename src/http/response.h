/* SPDX-License-Identifier: MIT */
/* A response from its status line to its last chunk: which fields an application may set, which framing it
 * gets (RFC 9112 §6), the octets. Knows no descriptor and no clock. */
#pragma once

#include "base/buffer.h"
#include "http/date.h"
#include "http/request.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum BodyFraming {
    BODY_NONE,   /* HEAD, 204, 304: whatever comes is dropped */
    BODY_LENGTH, /* Content-Length: cut there */
    BODY_CHUNKED,
    BODY_UNTIL_CLOSE, /* HTTP/1.0 and no length */
} BodyFraming;

/* How an application names a file that is to be the body instead of its own. */
typedef enum FileNaming {
    FILE_NONE,
    FILE_BY_PATH, /* X-Sendfile: an absolute path */
    FILE_BY_URI,  /* X-Accel-Redirect: a percent-encoded URI */
} FileNaming;

typedef struct Response {
    unsigned status; /* 0: none set */
    Buffer
        fields; /* the status line without "HTTP/1.1 ", and the application's fields, as they will go out */
    int64_t content_length; /* as set by the application, -1: not */
    bool takes_file;        /* the fields that name a file are for the server; survives a reset */
    FileNaming file_naming;
    Buffer file; /* its name, as set by the application */
    bool has_date;
    bool has_server;
    bool close;                 /* the connection ends with this response */
    BodyFraming framing;        /* from response_begin() on */
    uint64_t remaining;         /* BODY_LENGTH: octets still owed */
    _Atomic uint64_t body_size; /* octets of the body that were taken, for the access log */
} Response;

/* Outcomes of the two setters, each a fault of the application. */
enum {
    RESPONSE_E_STATUS = 1,     /* not "DDD reason", or with a control octet */
    RESPONSE_E_INTERIM,        /* 1xx */
    RESPONSE_E_NAME,           /* not a token (RFC 9110 §5.1) */
    RESPONSE_E_VALUE,          /* CR, LF, NUL or another control octet */
    RESPONSE_E_HOP_BY_HOP,     /* Transfer-Encoding, Keep-Alive, Upgrade … (PEP 3333; RFC 9110 §7.6.1) */
    RESPONSE_E_CONTENT_LENGTH, /* malformed, or a second one */
    RESPONSE_E_FILE,           /* a second X-Sendfile or X-Accel-Redirect */
    RESPONSE_E_FINAL,          /* of response_add_hint(): a field of the final response alone */
    RESPONSE_E_SHORT,          /* of response_end(): the body is shorter than its Content-Length */
};
const char *response_error_text(int e);

void response_init(Response *r);
void response_deinit(Response *r);

/* Forgets status and fields (a new request; start_response with exc_info); keeps memory. */
void response_reset(Response *r);

/* status: "200 OK". Once after init or reset, and before any field. 0, -ENOMEM or RESPONSE_E_STATUS,
 * RESPONSE_E_INTERIM. */
int response_set_status(Response *r, const char *status, size_t size);

/* Connection: close is honoured and not stored; keep-alive is ignored; other fields in order, Set-Cookie
 * lines apart. 0, -ENOMEM or RESPONSE_E_…. */
int response_add_field(Response *r, const char *name, size_t name_size, const char *value, size_t value_size);

/* The same for a field of a 103 (Early Hints, RFC 8297), appended to out with CRLF: end-to-end fields that
 * tell a client what it may begin with; none that frame, date, authorize or set a state. */
int response_add_hint(Buffer *out, const char *name, size_t name_size, const char *value, size_t value_size);

/* Decides the framing and appends the whole head to out. known_length: octets of the body where the server
 * knows them before, else -1. keep_alive: whether the server would go on with this connection; r->close says
 * what became of it. date: DATE_SIZE octets. 0 or -ENOMEM. */
int response_begin(Response *r, const Request *q, int64_t known_length, bool keep_alive, const char *date,
                   Buffer *out);

/* How to send `size` more body octets: *ret_take (≤ size) of them count, preceded by the prefix (chunk size
 * line) and followed, where *ret_crlf, by CRLF. Empty blocks take nothing and need no framing. */
#define RESPONSE_PREFIX_MAX 20
void response_frame(Response *r, size_t size, size_t *ret_take, char prefix[static RESPONSE_PREFIX_MAX],
                    size_t *ret_prefix_size, bool *ret_crlf);

/* The body is over: appends the last chunk where there is one. 0, -ENOMEM, or RESPONSE_E_SHORT: the
 * connection must be cut. */
int response_end(Response *r, Buffer *out);

/* Appends a whole response of the server's own: status, Date, Content-Length, a short text/plain body; with
 * Connection: close if `close`. 0 or -ENOMEM. */
int response_append_error(Buffer *out, unsigned status, bool is_head, bool close, const char *date);
