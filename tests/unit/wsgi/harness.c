/* SPDX-License-Identifier: MIT */
/* The helpers of harness.h. What fails here is a fault of the test's surroundings and ends the program. */
#include "harness.h"

#include "http/head.h"
#include "http/known-lines.h"
#include "http/parser.h"
#include "wsgi/interpreter.h"

#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what, const char *why)
{
    printf("Bail out! %s: %s\n", what, why ? why : "?");
    exit(99);
}

const char *harness_directory(const char *name)
{
    static char path[4096];
    const char *source = getenv("srcdir");

    snprintf(path, sizeof(path), "%s/tests/unit/wsgi/%s", source ? source : ".", name);
    return path;
}

void harness_start(void)
{
    _cleanup_free_ char *apps = realpath(harness_directory("apps"), NULL), *error = NULL;
    InterpreterOptions options = {.chdir = apps, .process_name = "test"};

    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    if (!apps)
        fail("no folder apps", harness_directory("apps"));
    if (interpreter_init(&options, &error) < 0)
        fail("interpreter_init()", error);
}

static PyObject *evaluate(const char *name, const char *source, int mode)
{
    PyObject *module = PyImport_AddModule(name), *globals = module ? PyModule_GetDict(module) : NULL,
             *value = NULL;

    if (globals && PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) == 0)
        value = PyRun_String(source, mode, globals, globals);
    if (!value) {
        PyErr_Print();
        fail("Python", source);
    }
    return value;
}

void harness_exec(const char *name, const char *source)
{
    Py_DECREF(evaluate(name, source, Py_file_input));
}

long harness_int(const char *name, const char *expression)
{
    _cleanup_decref_ PyObject *value = evaluate(name, expression, Py_eval_input);

    return PyLong_AsLong(value);
}

const char *harness_string(const char *name, const char *expression)
{
    static char text[4096];
    _cleanup_decref_ PyObject *value = evaluate(name, expression, Py_eval_input),
                              *string = PyObject_Str(value);

    snprintf(text, sizeof(text), "%s", string ? PyUnicode_AsUTF8(string) : "?");
    return text;
}

WsgiApp *harness_app(const char *spec)
{
    WsgiAppOptions options = {.multiprocess = true, .errors_fd = STDERR_FILENO};
    _cleanup_free_ char *error = NULL;
    WsgiApp *app = NULL;

    if (wsgi_app_load(spec, &app, &error) < 0 || wsgi_app_prepare(app, &options, &error) < 0)
        fail(spec, error);
    return app;
}

/* --- the sink --- */

__attribute__((__format__(__printf__, 2, 3))) static void record(FakeSink *f, const char *format, ...)
{
    char text[128];
    va_list ap;

    if (!f->record_events)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    (void)buffer_append_string(&f->events, text);
}

static int fake_fault(FakeSink *f)
{
    f->n_writes++;
    if (f->error_from && f->n_writes >= f->error_from)
        return f->error;
    if (f->gone_from && f->n_writes >= f->gone_from)
        return SINK_E_GONE;
    return f->wait_from && f->n_writes >= f->wait_from ? SINK_E_WAIT : 0;
}

static int fake_send_interim(ResponseSink *sink, const char *data, size_t size)
{
    FakeSink *f = (FakeSink *)sink;

    record(f, "interim(%zu) ", size);
    return buffer_append(&f->out, data, size) < 0 ? -ENOMEM : fake_fault(f);
}

/* Whatever its name, the file has four octets. */
static int fake_send_named_file(ResponseSink *sink)
{
    FakeSink *f = (FakeSink *)sink;
    int r;

    record(f, "named_file(%.*s) ", (int)buffer_size(&f->response.file), buffer_head(&f->response.file));
    if (PyGILState_Check())
        fail("send_named_file()", "called with the GIL");
    f->response.content_length = 4;
    r = sink->begin(sink, 4);
    return r == 0 ? sink->write(sink, "file", 4, true) : r;
}

static int fake_begin(ResponseSink *sink, int64_t known_length)
{
    FakeSink *f = (FakeSink *)sink;

    record(f, "begin(%lld) ", (long long)known_length);
    f->known_length = known_length;
    if (f->begin_fails)
        return f->error;
    return response_begin(&f->response, f->request, known_length, true, "Sun, 06 Nov 1994 08:49:37 GMT",
                          &f->out);
}

static int fake_write(ResponseSink *sink, const char *data, size_t size, bool last)
{
    FakeSink *f = (FakeSink *)sink;
    char prefix[RESPONSE_PREFIX_MAX];
    size_t take, prefix_size;
    bool crlf;

    record(f, "write(%zu%s) ", size, last ? ",last" : "");
    response_frame(&f->response, size, &take, prefix, &prefix_size, &crlf);
    if (buffer_append(&f->out, prefix, prefix_size) < 0 || buffer_append(&f->out, data, take) < 0 ||
        (crlf && buffer_append(&f->out, "\r\n", 2) < 0))
        return -ENOMEM;
    return fake_fault(f);
}

static int fake_send_file(ResponseSink *sink, int fd, uint64_t offset, uint64_t size)
{
    FakeSink *f = (FakeSink *)sink;
    _cleanup_free_ char *data = malloc(size);

    record(f, "send_file(%llu,%llu) ", (unsigned long long)offset, (unsigned long long)size);
    f->file_offset = offset;
    f->file_size = size;
    if (!data || pread(fd, data, size, (off_t)offset) != (ssize_t)size)
        return -EIO;
    return fake_write(sink, data, size, false);
}

static int fake_wait(ResponseSink *sink)
{
    FakeSink *f = (FakeSink *)sink;

    record(f, "wait ");
    if (f->on_wait)
        f->on_wait();
    return 0;
}

static int fake_end(ResponseSink *sink)
{
    FakeSink *f = (FakeSink *)sink;

    record(f, "end ");
    return response_end(&f->response, &f->out);
}

/* --- calls --- */

void call_init(Call *c, const char *head)
{
    static KnownLines known;
    static const HttpLimits limits = {.request_line = 65536,
                                      .field_size = 65536,
                                      .head = 1 << 20,
                                      .fields = 1000,
                                      .body = UINT64_MAX,
                                      .known = &known};
    HeadScan scan = {0};
    size_t size;
    int r;

    *c = (Call){.peer = {SPAN_LITERAL("192.0.2.7"), SPAN_LITERAL("40000"), SPAN_LITERAL("198.51.100.1"),
                         SPAN_LITERAL("8000"), false}};
    request_init(&c->request);
    buffer_init(&c->head);
    spool_init(&c->body, 65536, UINT64_MAX, "/tmp");
    buffer_init(&c->sink.out);
    buffer_init(&c->sink.events);
    response_init(&c->sink.response);
    c->sink.record_events = true;
    c->sink.sink = (ResponseSink){
        .response = &c->sink.response,
        .send_interim = fake_send_interim,
        .send_named_file = fake_send_named_file,
        .begin = fake_begin,
        .write = fake_write,
        .send_file = fake_send_file,
        .wait = fake_wait,
        .end = fake_end,
    };
    c->sink.request = &c->request;
    if (buffer_append_string(&c->head, head) < 0 || buffer_append_string(&c->head, "\r\n\r\n") < 0)
        fail("call_init()", "out of memory");
    if (head_scan(&scan, buffer_head(&c->head), buffer_size(&c->head), &limits, &size) != 0)
        fail(head, scan.reason);
    r = request_parse(&c->request, &scan, buffer_head(&c->head), size, &limits);
    if (r != 0)
        fail(head, c->request.reason);
}

void call_set_body(Call *c, const void *data, size_t size)
{
    spool_clear(&c->body);
    if (spool_append(&c->body, data, size) != 0)
        fail("call_set_body()", "spool_append()");
    c->has_body = true;
}

void call_deinit(Call *c)
{
    request_deinit(&c->request);
    buffer_deinit(&c->head);
    spool_deinit(&c->body);
    buffer_deinit(&c->sink.out);
    buffer_deinit(&c->sink.events);
    response_deinit(&c->sink.response);
    free(c->error);
    c->error = NULL;
}

void call_run(Call *c, WsgiApp *app)
{
    free(c->error);
    c->error = NULL;
    response_reset(&c->sink.response);
    buffer_clear(&c->sink.out);
    buffer_clear(&c->sink.events);
    c->sink.n_writes = 0;
    c->result = wsgi_call(app, &c->request, c->has_body ? &c->body : NULL, c->source, &c->peer, &c->sink.sink,
                          &c->error);
    if (PyErr_Occurred())
        fail("wsgi_call()", "left an exception");
}

void call_get(Call *c, WsgiApp *app)
{
    call_init(c, "GET / HTTP/1.1\r\nHost: example.com");
    call_run(c, app);
}

static const char *terminated(Buffer *b)
{
    if (buffer_reserve(b, 1) < 0)
        fail("call_output()", "out of memory");
    *buffer_tail(b) = '\0';
    return buffer_head(b);
}

const char *call_output(Call *c)
{
    return terminated(&c->sink.out);
}

const char *call_body(Call *c)
{
    const char *end = strstr(call_output(c), "\r\n\r\n");

    return end ? end + 4 : "";
}

bool call_error_has(const Call *c, const char *text)
{
    bool found = c->error && strstr(c->error, text);

    if (!found)
        printf("# error: %s\n", c->error ? c->error : "(none)");
    return found;
}
