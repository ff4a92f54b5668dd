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
    ok(a->environ.dict != b->environ.dict);
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
    in_base = PyDict_GetItemString(slot->environ.dict, "wsgi.early_hints");
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
    in_base = PyDict_GetItemString(slot->environ.dict, "wsgi.input");
    ok(in_base == (PyObject *)slot->input, "the base has the new one");
    Py_DECREF(kept);
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
    slot_pool_clear(&pool);
    interpreter_finalize();
    return tap_done();
}
