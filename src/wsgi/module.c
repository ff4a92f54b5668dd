/* SPDX-License-Identifier: MIT */
/* The worker's second front door: how the site's own interpreter starts it. */
#include "wsgi/python.h"

#include "wsgi/module.h"

#include <stdlib.h>

static int n_arguments;
static char **arguments;

/* In glibc, the constructors of a library are given what main() is given (elf/dl-init.c). The process title needs
 * the memory itself, of which Python knows copies. */
__attribute__((__constructor__)) static void take_arguments(int argc, char **argv)
{
    n_arguments = argc;
    arguments = argv;
}

static PyObject *run(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    exit(module_main(n_arguments, arguments));
}

PyMODINIT_FUNC PyInit__cgunicorn(void);

PyMODINIT_FUNC PyInit__cgunicorn(void)
{
    static PyMethodDef methods[] = {
        {"run", run, METH_NOARGS,
         PyDoc_STR("The main program of a worker, which cgunicorn starts. Never returns.")},
        {0},
    };
    static PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030d0000
        {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
        {0},
    };
    static PyModuleDef definition = {
        .m_base = PyModuleDef_HEAD_INIT,
        .m_name = "_cgunicorn",
        .m_methods = methods,
        .m_slots = slots,
    };

    return PyModuleDef_Init(&definition);
}
