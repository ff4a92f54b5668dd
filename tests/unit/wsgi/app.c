/* SPDX-License-Identifier: MIT */
/* From specs to applications, and what is said of specs that name none. */
#include "harness.h"

#include "wsgi/interpreter.h"

#include <stdlib.h>

/* Loads and calls it; its body is what spec_apps.py says of the way it was found. */
static void loads(const char *spec, const char *expected)
{
    _cleanup_free_ char *error = NULL;
    WsgiAppOptions options = {.errors_fd = STDERR_FILENO};
    WsgiApp *app = NULL;
    Call c;

    if (!ok(wsgi_app_load(spec, &app, &error) == 0, "%s", spec)) {
        printf("# %s\n", error);
        return;
    }
    is_int(wsgi_app_prepare(app, &options, &error), 0);
    call_get(&c, app);
    is_string(call_body(&c), expected);
    call_deinit(&c);
    wsgi_app_free(app);
}

/* The one line, or the first of it and the last of the traceback. */
static void fails(const char *spec, const char *line, const char *last)
{
    _cleanup_free_ char *error = NULL;
    WsgiApp *app = NULL;
    char *newline;

    ok(wsgi_app_load(spec, &app, &error) == -1 && error, "%s", spec);
    if (!error)
        return;
    newline = strchr(error, '\n');
    if (last) {
        ok(newline && strstr(newline, last), "%s", last);
        ok(!strstr(error, "importlib"), "no frames of the import system");
    }
    if (newline && last)
        *newline = '\0';
    is_string(error, line);
}

static void test_found(void)
{
    loads("spec_apps:application", "application");
    loads("spec_apps", "application");
    loads("only_app", "app of only_app");
    loads("package.wsgi", "package");
    loads("package.wsgi:holder.inner.app", "inner");
    is_int(harness_int("probe", "'ast' in __import__('sys').modules"), 0);
    loads("package.wsgi:holder. inner .app", "inner");
    loads("spec_apps:(application)", "application");
    loads("spec_apps:create()", "create () {}");
    loads("spec_apps:create(1, 'two', key=[3, {'four': None}], flag=True)",
          "create (1, 'two') {'flag': True, 'key': [3, {'four': None}]}");
    loads("spec_apps:Class.create(-1.5)", "create (-1.5,) {}");
    loads("spec_apps:callable_object", "object");
}

#define CANNOT(spec) "cannot load the application '" spec "': "
#define WRITE "; write MODULE:CALLABLE, such as blog.wsgi:application"

static void test_wrong_specs(void)
{
    fails("", CANNOT("") "there is no module in it" WRITE, NULL);
    fails(":app", CANNOT(":app") "there is no module in it" WRITE, NULL);
    fails("dir/app.py", CANNOT("dir/app.py") "it has the path of a file; Python wants a module's name" WRITE,
          NULL);
    fails("spec_apps:", CANNOT("spec_apps:") "\"\" is neither a name nor a call" WRITE, NULL);
    fails("spec_apps:a b", CANNOT("spec_apps:a b") "\"a b\" is neither a name nor a call" WRITE, NULL);
    fails("spec_apps:1",
          CANNOT("spec_apps:1") "what follows the colon is neither a dotted name nor a call of one" WRITE,
          NULL);
    fails("spec_apps:a[0]",
          CANNOT("spec_apps:a[0]") "what follows the colon is neither a dotted name nor a call of one" WRITE,
          NULL);
    fails(
        "spec_apps:create()()",
        CANNOT(
            "spec_apps:create()()") "what follows the colon is neither a dotted name nor a call of one" WRITE,
        NULL);
    fails("spec_apps:create(x)",
          CANNOT("spec_apps:create(x)") "the arguments of the factory must be literals: numbers, strings, "
                                        "True, None, "
                                        "lists …",
          NULL);
    fails("spec_apps:create(**{})",
          CANNOT("spec_apps:create(**{})") "the factory's arguments can't be given by **", NULL);
}

static void test_not_found(void)
{
    fails("nosuch", CANNOT("nosuch") "No module named 'nosuch'", NULL);
    fails("package.nosuch:app", CANNOT("package.nosuch:app") "No module named 'package.nosuch'", NULL);
    fails("spec_apps:x", CANNOT("spec_apps:x") "module 'spec_apps' has no attribute 'x'; it has application",
          NULL);
    fails("only_app:application",
          CANNOT("only_app:application") "module 'only_app' has no attribute 'application'; it has app",
          NULL);
    fails(
        "factory_only",
        CANNOT(
            "factory_only") "module 'factory_only' has no attribute 'application'; it has create_app: write "
                            "create_app()",
        NULL);
    fails("package", CANNOT("package") "module 'package' has no attribute 'application'" WRITE, NULL);
    fails("spec_apps:Class.x", CANNOT("spec_apps:Class.x") "an object of type type has no attribute 'x'",
          NULL);
    fails("spec_apps:number", CANNOT("spec_apps:number") "it is not callable, but an object of type int",
          NULL);
    fails("spec_apps:none()", CANNOT("spec_apps:none()") "it is not callable, but an object of type NoneType",
          NULL);
}

static void test_code_fails(void)
{
    fails("bad_import", CANNOT("bad_import") "ModuleNotFoundError: No module named 'nosuch_dependency'",
          "import nosuch_dependency");
    fails("bad_syntax", CANNOT("bad_syntax") "SyntaxError: '(' was never closed (bad_syntax.py, line 2)",
          "line 2");
    fails("bad_exit", CANNOT("bad_exit") "SystemExit: 3", "sys.exit(3)");
    fails("spec_apps:failing()", CANNOT("spec_apps:failing()") "KeyError: 'missing'", "in failing");
    fails("spec_apps:create_one(1, 2)",
          CANNOT("spec_apps:create_one(1, 2)") "create_one() takes 1 positional argument but 2 were given",
          NULL);
    fails("lazy_attribute:app", CANNOT("lazy_attribute:app") "AttributeError: deep down", "in __getattr__");
}

int main(void)
{
    harness_start();
    test_found();
    test_wrong_specs();
    test_not_found();
    test_code_fails();
    interpreter_finalize();
    return tap_done();
}
