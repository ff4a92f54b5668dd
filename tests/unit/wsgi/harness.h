/* SPDX-License-Identifier: MIT */
/* What the tests of wsgi/ share: an interpreter with the applications in apps/, a sink that keeps what it is
 * given, and one request through wsgi_call(). */
#pragma once

#include "wsgi/python.h"

#include "base/buffer.h"
#include "base/spool.h"
#include "http/request.h"
#include "wsgi/app.h"
#include "wsgi/call.h"
#include "wsgi/sink.h"

#include "tap.h"

/* The folder of this test's data below tests/unit/wsgi, in the source tree; in a static buffer. */
const char *harness_directory(const char *name);

/* Starts Python once for the whole program, with apps/ in front of sys.path; exits where that fails. */
void harness_start(void);

/* Runs statements in the namespace of module `name`, which is made if it doesn't exist; exits where that
 * fails. */
void harness_exec(const char *name, const char *source);

/* The value of an expression in that namespace, as int or as str (valid until the next call). */
long harness_int(const char *name, const char *expression);
const char *harness_string(const char *name, const char *expression);

/* Loaded and prepared, or the program ends. errors_fd: STDERR_FILENO. */
WsgiApp *harness_app(const char *spec);

typedef struct FakeSink {
    ResponseSink sink;
    Response response;
    const Request *request;
    Buffer out;    /* the octets on the wire */
    Buffer events; /* "begin(5) write(5,last) end " */
    bool record_events;
    int64_t known_length;
    uint64_t file_offset, file_size;
    /* Faults, each from the n-th call of write() or send_file() on; 0: never. */
    unsigned n_writes, wait_from, gone_from, error_from;
    int error; /* then returned; also by begin() if begin_fails */
    bool begin_fails;
    void (*on_wait)(void); /* called by wait(), without the GIL */
} FakeSink;

typedef struct Call {
    Request request;
    Buffer head;
    Spool body;
    bool has_body;
    BodySource *source; /* in its place */
    WsgiPeer peer;
    FakeSink sink;
    int result;
    char *error;
} Call;

/* head: a request's head without the empty line; "%s" and the like are not expanded. Exits if it can't be
 * parsed. */
void call_init(Call *c, const char *head);
void call_set_body(Call *c, const void *data, size_t size);
void call_deinit(Call *c);

/* Runs the request; c->result, c->error and c->sink say what came of it. May be repeated: the sink is new
 * each time, its settings are kept. */
void call_run(Call *c, WsgiApp *app);

/* call_init() with "GET / HTTP/1.1" and a Host, and call_run(). */
void call_get(Call *c, WsgiApp *app);

/* The response's octets, NUL-terminated, and its body (after the empty line). */
const char *call_output(Call *c);
const char *call_body(Call *c);

/* Whether c->error has that text in it. */
bool call_error_has(const Call *c, const char *text);
