/* SPDX-License-Identifier: MIT */
/* From "module:callable" to the object that is called for each request. Failures are exceptions here too:
 * those without a traceback are about the spec itself and are reported as one line. */
#include "wsgi/python.h"

#include "wsgi/app.h"

#include "wsgi/app-state.h"
#include "wsgi/exception.h"
#include "wsgi/hooks-state.h"
#include "wsgi/interpreter.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WANTED "; write MODULE:CALLABLE, such as blog.wsgi:application"

/* --- reading the spec --- */

typedef struct Spec {
    char *module;
    const char *expression; /* NULL: the default names */
    PyObject *names;        /* a list: what is to be found; NULL: the default names */
    PyObject *ast, *call;   /* the module of that name, and the node of what calls it; NULL: nothing does */
} Spec;

static void spec_clear(Spec *s)
{
    free(s->module);
    Py_CLEAR(s->names);
    Py_CLEAR(s->ast);
    Py_CLEAR(s->call);
}

static int spec_split(const char *text, Spec *ret)
{
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);

    if (n == 0 || memchr(text, '/', n)) {
        PyErr_SetString(PyExc_ValueError,
                        n == 0 ? "there is no module in it" WANTED
                               : "it has the path of a file; Python wants a module's name" WANTED);
        return -1;
    }
    ret->module = strndup(text, n);
    ret->expression = colon ? colon + 1 : NULL;
    if (!ret->module)
        PyErr_NoMemory();
    return ret->module ? 0 : -1;
}

/* The expression's syntax tree. */
static PyObject *parse_expression(PyObject *ast, const char *expression)
{
    _cleanup_decref_ PyObject *tree =
        PyObject_CallMethod(ast, "parse", "sss", expression, "application", "eval");

    if (tree)
        return PyObject_GetAttrString(tree, "body");
    if (PyErr_ExceptionMatches(PyExc_SyntaxError) || PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "\"%s\" is neither a name nor a call" WANTED, expression);
    }
    return NULL;
}

/* "name.name" … as a list; what is something else is refused. */
static PyObject *split_names(PyObject *text)
{
    _cleanup_decref_ PyObject *dot = PyUnicode_FromString("."),
                              *names = dot ? PyUnicode_Split(text, dot, -1) : NULL;

    for (Py_ssize_t i = 0; names && i < PyList_GET_SIZE(names); i++)
        if (!PyUnicode_IsIdentifier(PyList_GET_ITEM(names, i))) {
            PyErr_SetString(PyExc_ValueError,
                            "what follows the colon is neither a dotted name nor a call of one" WANTED);
            return NULL;
        }
    return TAKE_PTR(names);
}

/* What is more than names. */
static int spec_parse(Spec *s)
{
    _cleanup_decref_ PyObject *node = NULL, *type = NULL, *name = NULL, *text = NULL;
    int is_call;

    s->ast = PyImport_ImportModule("ast");
    node = s->ast ? parse_expression(s->ast, s->expression) : NULL;
    type = node ? PyObject_GetAttrString(s->ast, "Call") : NULL;
    is_call = type ? PyObject_IsInstance(node, type) : -1;
    if (is_call < 0)
        return -1;
    name = is_call ? PyObject_GetAttrString(node, "func") : Py_NewRef(node);
    text = name ? PyObject_CallMethod(s->ast, "unparse", "O", name) : NULL;
    s->names = text ? split_names(text) : NULL;
    s->call = is_call ? TAKE_PTR(node) : NULL;
    return s->names ? 0 : -1;
}

/* The ast module takes more time to import than many an application: it is for those that need it. */
static int spec_read_expression(Spec *s)
{
    _cleanup_decref_ PyObject *text = PyUnicode_FromString(s->expression);

    s->names = text ? split_names(text) : NULL;
    if (s->names || !PyErr_ExceptionMatches(PyExc_ValueError))
        return s->names ? 0 : -1;
    PyErr_Clear();
    return spec_parse(s);
}

/* --- names --- */

/* Of what else the module has, what was probably meant. */
static const char *suggest(PyObject *module)
{
    static const char *const usual[] = {"application", "app", "create_app", "make_app"};
    static const char *const texts[] = {"; it has application", "; it has app",
                                        "; it has create_app: write create_app()",
                                        "; it has make_app: write make_app()"};

    for (size_t i = 0; i < ELEMENTSOF(usual); i++)
        if (PyObject_HasAttrString(module, usual[i]))
            return texts[i];
    return WANTED;
}

/* Of the current exception, which stays so. */
static bool has_traceback(void)
{
    _cleanup_decref_ PyObject *exception = python_take_exception();

    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return python_has_traceback(exception);
}

static PyObject *get_attribute(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);

    if (value || !PyErr_ExceptionMatches(PyExc_AttributeError) || has_traceback())
        return value;
    PyErr_Clear();
    if (PyModule_Check(object)) {
        _cleanup_decref_ PyObject *module_name = PyModule_GetNameObject(object);

        if (module_name)
            PyErr_Format(PyExc_AttributeError, "module '%U' has no attribute '%U'%s", module_name, name,
                         suggest(object));
    } else {
        PyErr_Format(PyExc_AttributeError, "an object of type %.200s has no attribute '%U'",
                     Py_TYPE(object)->tp_name, name);
    }
    return NULL;
}

static PyObject *look_up(PyObject *module, PyObject *names)
{
    PyObject *object = Py_NewRef(module);

    for (Py_ssize_t i = 0; object && i < PyList_GET_SIZE(names); i++) {
        _cleanup_decref_ PyObject *parent = object;

        object = get_attribute(parent, PyList_GET_ITEM(names, i));
    }
    return object;
}

static PyObject *get_default(PyObject *module)
{
    if (!PyObject_HasAttrString(module, "application") && PyObject_HasAttrString(module, "app"))
        return PyObject_GetAttrString(module, "app");

    _cleanup_decref_ PyObject *name = PyUnicode_FromString("application");

    return name ? get_attribute(module, name) : NULL;
}

/* --- calls of factories --- */

/* The value of a literal's node; what is no literal is refused. */
static PyObject *literal_value(PyObject *ast, PyObject *node)
{
    PyObject *value = PyObject_CallMethod(ast, "literal_eval", "O", node);

    if (!value && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_ValueError,
                        "the arguments of the factory must be literals: numbers, strings, True, "
                        "None, lists …");
    }
    return value;
}

static PyObject *positional_arguments(PyObject *ast, PyObject *call)
{
    _cleanup_decref_ PyObject *nodes = PyObject_GetAttrString(call, "args"), *values = PyList_New(0);

    if (!nodes || !values)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(nodes); i++) {
        _cleanup_decref_ PyObject *value = literal_value(ast, PyList_GET_ITEM(nodes, i));

        if (!value || PyList_Append(values, value) < 0)
            return NULL;
    }
    return PyList_AsTuple(values);
}

static int add_keyword(PyObject *ast, PyObject *keywords, PyObject *keyword)
{
    _cleanup_decref_ PyObject *name = PyObject_GetAttrString(keyword, "arg"), *value = NULL, *node = NULL;

    if (!name)
        return -1;
    if (Py_IsNone(name)) {
        PyErr_SetString(PyExc_ValueError, "the factory's arguments can't be given by **");
        return -1;
    }
    node = PyObject_GetAttrString(keyword, "value");
    value = node ? literal_value(ast, node) : NULL;
    return value ? PyDict_SetItem(keywords, name, value) : -1;
}

static PyObject *keyword_arguments(PyObject *ast, PyObject *call)
{
    _cleanup_decref_ PyObject *nodes = PyObject_GetAttrString(call, "keywords"), *keywords = PyDict_New();

    if (!nodes || !keywords)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(nodes); i++)
        if (add_keyword(ast, keywords, PyList_GET_ITEM(nodes, i)) < 0)
            return NULL;
    return TAKE_PTR(keywords);
}

static PyObject *call_factory(PyObject *ast, PyObject *factory, PyObject *call)
{
    _cleanup_decref_ PyObject *args = positional_arguments(ast, call);
    _cleanup_decref_ PyObject *keywords = args ? keyword_arguments(ast, call) : NULL;

    return keywords ? PyObject_Call(factory, args, keywords) : NULL;
}

/* --- loading --- */

static PyObject *resolve(Spec *spec)
{
    _cleanup_decref_ PyObject *module = NULL, *object = NULL;

    if (spec->expression && spec_read_expression(spec) < 0)
        return NULL;
    module = PyImport_ImportModule(spec->module);
    if (!module)
        return NULL;
    object = spec->names ? look_up(module, spec->names) : get_default(module);
    return object && spec->call ? call_factory(spec->ast, object, spec->call) : TAKE_PTR(object);
}

static PyObject *load_callable(const char *text)
{
    _cleanup_(spec_clear) Spec spec = {0};
    _cleanup_decref_ PyObject *object = NULL;

    if (spec_split(text, &spec) < 0)
        return NULL;
    object = resolve(&spec);
    if (interpreter_is_forked_child())
        interpreter_exit_forked_child();
    if (!object)
        return NULL;
    if (!PyCallable_Check(object)) {
        PyErr_Format(PyExc_TypeError, "it is not callable, but an object of type %.200s",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    return TAKE_PTR(object);
}

int wsgi_app_load(const char *spec, WsgiApp **ret, char **ret_error)
{
    WsgiApp *app = calloc(1, sizeof(WsgiApp));

    *ret_error = NULL;
    if (app)
        app->callable = load_callable(spec);
    else
        PyErr_NoMemory();
    if (!app || !app->callable) {
        *ret_error = exception_take_report("cannot load the application '%s'", spec);
        free(app);
        return -1;
    }
    *ret = app;
    return 0;
}

int wsgi_app_prepare(WsgiApp *app, const WsgiAppOptions *options, char **ret_error)
{
    *ret_error = NULL;
    app->slots.multithread = options->multithread;
    app->slots.multiprocess = options->multiprocess;
    app->slots.errors_fd = options->errors_fd;
    app->hooks = hooks_see_requests(options->hooks) ? options->hooks : NULL;
    if (slot_pool_init(&app->slots) == 0)
        return 0;
    *ret_error = exception_take_report("cannot prepare the application");
    return -1;
}

WsgiApp *wsgi_app_free(WsgiApp *app)
{
    if (!app)
        return NULL;
    slot_pool_clear(&app->slots);
    Py_CLEAR(app->callable);
    free(app);
    return NULL;
}
