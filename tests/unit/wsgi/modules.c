/* SPDX-License-Identifier: MIT */
/* Where modules come from, told once; whatever is in sys.modules. */
#include "harness.h"

#include "wsgi/interpreter.h"
#include "wsgi/modules.h"

#include <limits.h>
#include <stdlib.h>

/* Whether the text has that line; and forgets the text. */
static bool told(WsgiModules *m, const char *line, Buffer *text)
{
    char wanted[4096];
    bool found;

    buffer_clear(text);
    wsgi_modules_tell(m, text);
    ok(!PyErr_Occurred());
    if (buffer_append(text, "", 1) < 0)
        return false;
    (void)snprintf(wanted, sizeof(wanted), "%s\n", line);
    found = strstr(buffer_head(text), wanted);
    return found;
}

int main(void)
{
    _cleanup_(buffer_deinit) Buffer text = {0};
    _cleanup_(wsgi_modules_freep) WsgiModules *m = NULL;
    char apps[PATH_MAX], package[PATH_MAX + 10], source[PATH_MAX + 50];

    harness_start();
    m = wsgi_modules_new();
    ok(m && realpath(harness_directory("apps"), apps));
    (void)snprintf(package, sizeof(package), "%s/package", apps);
    (void)snprintf(source, sizeof(source), "import sys; sys.path.insert(0, '%s')", apps);
    harness_exec("test", source);
    ok(told(m, apps, &text)); /* of sys.path */
    ok(!strstr(buffer_head(&text),
               harness_string("sys", "__import__('os').path.dirname(__import__('os').__file__) + '\\n'")));
    ok(!strstr(buffer_head(&text), "frozen"));

    harness_exec("test", "import package.wsgi");
    ok(told(m, package, &text));
    harness_exec("test", "import only_app");
    ok(!told(m, package, &text), "once");
    is_string(buffer_head(&text), "");

    harness_exec("test", "import os, sys, types\n"
                         "def module(name, **names):\n"
                         "    sys.modules[name] = types.ModuleType(name)\n"
                         "    sys.modules[name].__dict__.update(names)\n"
                         "class Lazy:\n"
                         "    def __getattr__(self, name): raise SystemExit(name)\n"
                         "def path():\n"
                         "    raise ValueError\n"
                         "    yield\n"
                         "sys.modules['lazy'] = Lazy()\n"
                         "sys.modules['none'] = None\n"
                         "module('relative', __file__='a/b.py')\n"
                         "module('number', __file__=3, __path__=4)\n"
                         "module('raising', __path__=path())\n"
                         "module('surrogate', __file__='/a\\ud800/b.py')\n"
                         "module('lines', __file__='/a\\nb/c.py')\n"
                         "module('site', __file__=os.__file__.replace('os.py', 'site-packages/p/q.py'))\n"
                         "module('path', __path__=['/namespace', 3])\n");
    ok(told(m, "/namespace", &text));
    ok(strstr(buffer_head(&text), "/site-packages/p\n"));
    ok(!strstr(buffer_head(&text), "a/b") && !strstr(buffer_head(&text), "/a\n"));
    m = wsgi_modules_free(m);
    interpreter_finalize();
    return tap_done();
}
