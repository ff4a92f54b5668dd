/* SPDX-License-Identifier: MIT */
/* Slots: reused as long as nobody holds their parts, as many as requests are under way. */
#include "harness.h"

#include "wsgi/interpreter.h"
#include "wsgi/slot.h"

static SlotPool pool;
static ResponseSink sink;

static void test_reuse(void)
{
    Slot *a, *b;
    PyObject *kept;

    a = slot_take(&pool, &sink, NULL, NULL);
    b = slot_take(&pool, &sink, NULL, NULL);
    ok(a && b && a != b);
    ok(a->start_response->delivery == &a->delivery && a->delivery.sink == &sink &&
       a->start_response->write->delivery == &a->delivery &&
       a->start_response->early_hints->delivery == &a->delivery);
    ok(a->environs.bare.dict != b->environs.bare.dict);
    slot_give_back(&pool, b);
    slot_give_back(&pool, a);
    ok(!a->start_response->delivery && !a->input->spool);
    ok(slot_take(&pool, &sink, NULL, NULL) == a, "the last one comes first");

    kept = (PyObject *)a->start_response;
    slot_give_back(&pool, a);
    ok((PyObject *)a->start_response == kept || !PYTHON_HAS_GIL);
    a = slot_take(&pool, &sink, NULL, NULL);
    kept = Py_NewRef((PyObject *)a->start_response);
    slot_give_back(&pool, a);
    ok((PyObject *)a->start_response != kept, "a kept start_response is replaced");
    Py_DECREF(kept);
}

static void test_kept_write(void)
{
    Slot *slot;
    PyObject *kept;

    slot = slot_take(&pool, &sink, NULL, NULL);
    kept = Py_NewRef((PyObject *)slot->start_response->write);
    slot_give_back(&pool, slot);
    ok((PyObject *)slot->start_response->write != kept);
    Py_DECREF(kept);
}

static void test_kept_early_hints(void)
{
    Slot *slot;
    PyObject *kept, *in_base;

    slot = slot_take(&pool, &sink, NULL, NULL);
    kept = Py_NewRef((PyObject *)slot->start_response->early_hints);
    slot_give_back(&pool, slot);
    in_base = PyDict_GetItemString(slot->environs.bare.dict, "wsgi.early_hints");
    ok(in_base != kept && in_base == (PyObject *)slot->start_response->early_hints,
       "the base has the new one");
    Py_DECREF(kept);
}

static void test_kept_input(void)
{
    Slot *slot;
    PyObject *kept, *in_base;

    slot = slot_take(&pool, &sink, NULL, NULL);
    kept = (PyObject *)slot->input;
    slot_give_back(&pool, slot);
    ok((PyObject *)slot->input == kept || !PYTHON_HAS_GIL);
    slot = slot_take(&pool, &sink, NULL, NULL);
    kept = Py_NewRef((PyObject *)slot->input);
    slot_give_back(&pool, slot);
    ok((PyObject *)slot->input != kept);
    in_base = PyDict_GetItemString(slot->environs.bare.dict, "wsgi.input");
    ok(in_base == (PyObject *)slot->input, "the base has the new one");
    Py_DECREF(kept);
}

/* Requests enough for the second base. */
static void learn(Slot *slot)
{
    Request r = {.method = SPAN_LITERAL("GET"),
                 .target = SPAN_LITERAL("/"),
                 .path = SPAN_LITERAL("/"),
                 .query = SPAN_LITERAL(""),
                 .content_length = -1};
    WsgiPeer peer = {
        .remote_addr = SPAN_LITERAL(""), .server_name = SPAN_LITERAL("a"), .server_port = SPAN_LITERAL("80")};

    for (int i = 0; i < 20; i++)
        Py_XDECREF(environ_new(&slot->environs, slot->cache, &r, NULL, &peer));
    ok(slot->environs.full.dict && slot->environs.full.dict != slot->environs.bare.dict);
}

static void test_both_bases(void)
{
    Slot *slot = slot_take(&pool, &sink, NULL, NULL);
    PyObject *input = (PyObject *)slot->input, *early_hints = (PyObject *)slot->start_response->early_hints;

    learn(slot);
    slot_give_back(&pool, slot);
    ok(((PyObject *)slot->input == input && (PyObject *)slot->start_response->early_hints == early_hints) ||
           !PYTHON_HAS_GIL,
       "nobody has kept them");

    slot = slot_take(&pool, &sink, NULL, NULL);
    input = Py_NewRef((PyObject *)slot->input);
    early_hints = Py_NewRef((PyObject *)slot->start_response->early_hints);
    slot_give_back(&pool, slot);
    ok((PyObject *)slot->input != input && (PyObject *)slot->start_response->early_hints != early_hints);
    ok(PyDict_GetItemString(slot->environs.full.dict, "wsgi.input") == (PyObject *)slot->input &&
           PyDict_GetItemString(slot->environs.full.dict, "wsgi.early_hints") ==
               (PyObject *)slot->start_response->early_hints &&
           PyDict_GetItemString(slot->environs.bare.dict, "wsgi.input") == (PyObject *)slot->input,
       "both have the new ones");
    Py_DECREF(input);
    Py_DECREF(early_hints);
}

int main(void)
{
    harness_start();
    pool.errors_fd = STDERR_FILENO;
    is_int(slot_pool_init(&pool), 0);
    test_reuse();
    test_kept_write();
    test_kept_early_hints();
    test_kept_input();
    test_both_bases();
    slot_pool_clear(&pool);
    interpreter_finalize();
    return tap_done();
}
