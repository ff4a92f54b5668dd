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
} Spec;

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

/* Whether node is of the ast module's class of that name. 1, 0, or -1 with an exception. */
static int node_is(PyObject *ast, PyObject *node, const char *name)
{
    _cleanup_decref_ PyObject *type = PyObject_GetAttrString(ast, name);

    return type ? PyObject_IsInstance(node, type) : -1;
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

/* name, or name.name … */
static PyObject *look_up(PyObject *ast, PyObject *module, PyObject *node)
{
    int is_name = node_is(ast, node, "Name"),
        is_attribute = is_name == 0 ? node_is(ast, node, "Attribute") : 0;
    _cleanup_decref_ PyObject *parent = NULL, *object = NULL, *name = NULL;

    if (is_name < 0 || is_attribute < 0)
        return NULL;
    if (!is_name && !is_attribute) {
        PyErr_SetString(PyExc_ValueError,
                        "what follows the colon is neither a dotted name nor a call of one" WANTED);
        return NULL;
    }
    parent = is_attribute ? PyObject_GetAttrString(node, "value") : NULL;
    object = !is_attribute ? Py_NewRef(module) : parent ? look_up(ast, module, parent) : NULL;
    name = object ? PyObject_GetAttrString(node, is_name ? "id" : "attr") : NULL;
    return name ? get_attribute(object, name) : NULL;
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

static PyObject *call_factory(PyObject *ast, PyObject *module, PyObject *call)
{
    _cleanup_decref_ PyObject *node = PyObject_GetAttrString(call, "func");
    _cleanup_decref_ PyObject *factory = node ? look_up(ast, module, node) : NULL;
    _cleanup_decref_ PyObject *args = factory ? positional_arguments(ast, call) : NULL;
    _cleanup_decref_ PyObject *keywords = args ? keyword_arguments(ast, call) : NULL;

    return keywords ? PyObject_Call(factory, args, keywords) : NULL;
}

/* --- loading --- */

static PyObject *resolve(const Spec *spec)
{
    _cleanup_decref_ PyObject *ast = NULL, *node = NULL, *module = NULL;
    int is_call = 0;

    if (spec->expression) {
        ast = PyImport_ImportModule("ast");
        node = ast ? parse_expression(ast, spec->expression) : NULL;
        is_call = node ? node_is(ast, node, "Call") : -1;
        if (is_call < 0)
            return NULL;
    }
    module = PyImport_ImportModule(spec->module);
    if (!module)
        return NULL;
    if (!node)
        return get_default(module);
    return is_call ? call_factory(ast, module, node) : look_up(ast, module, node);
}

static PyObject *load_callable(const char *text)
{
    _cleanup_free_ char *module = NULL;
    _cleanup_decref_ PyObject *object = NULL;
    Spec spec = {0};

    if (spec_split(text, &spec) < 0)
        return NULL;
    module = spec.module;
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
