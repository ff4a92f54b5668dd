/* SPDX-License-Identifier: MIT */
/* What workers do where develop.reload is on. */
#include "worker/develop.h"

#include "base/buffer.h"
#include "base/log.h"
#include "base/message-ids.h"
#include "ipc/channel.h"
#include "wsgi/error-page.h"
#include "wsgi/modules.h"

#include <errno.h>
#include <string.h>

struct Develop {
    ChannelEnd channel;
    WsgiModules *modules;
};

/* The lines, as many to a message as there is room for; one that is longer than any path is left out. */
static void send_lines(const Develop *d, const char *text, size_t size)
{
    while (size > 0) {
        char part[MESSAGE_TEXT_MAX];
        const char *end = memrchr(text, '\n', MIN(size, sizeof part - 1));
        size_t n = end ? (size_t)(end - text) + 1 : 0;

        if (n == 0)
            return;
        memcpy(part, text, n);
        part[n] = '\0';
        if (channel_end_say_waiting(&d->channel, MESSAGE_MODULES, part) < 0)
            return;
        text += n;
        size -= n;
    }
}

/* A module that fails is not in sys.modules, but in the traceback, SyntaxErrors too: lines of
 *   File "/srv/shop/views.py", line 7 */
static void append_directories(const char *traceback, Buffer *to)
{
    static const char mark[] = "File \"";

    while ((traceback = strstr(traceback, mark))) {
        const char *path = traceback + strlen(mark), *slash;
        size_t n = strcspn(path, "\"\n");

        slash = memrchr(path, '/', n);
        if (*path == '/' && slash)
            (void)buffer_printf(to, "%.*s\n", (int)(slash - path), path);
        traceback = path + n;
    }
}

WsgiApp *develop_show(Develop *d, char *failure)
{
    _cleanup_(buffer_deinit) Buffer directories = {0};
    _cleanup_free_ char *text = failure;
    WsgiApp *app;

    if (!text)
        return NULL;
    log_full(LOG_ERR, MESSAGE_LOAD_FAILED, NULL, "%s\nWaiting for a file to change.", text);
    append_directories(text, &directories);
    send_lines(d, buffer_head(&directories), buffer_size(&directories));
    return wsgi_error_page_new(text, &app) < 0 ? NULL : app;
}

void develop_tell(Develop *d)
{
    _cleanup_(buffer_deinit) Buffer directories = {0};

    wsgi_modules_tell(d->modules, &directories);
    send_lines(d, buffer_head(&directories), buffer_size(&directories));
}

Develop *develop_free(Develop *d)
{
    if (!d)
        return NULL;
    wsgi_modules_free(d->modules);
    free(d);
    return NULL;
}

Develop *develop_new(ChannelEnd channel)
{
    _cleanup_(develop_freep) Develop *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->channel = channel;
    d->modules = wsgi_modules_new();
    return d->modules ? TAKE_PTR(d) : NULL;
}
