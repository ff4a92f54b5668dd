/* SPDX-License-Identifier: MIT */
/* Where the worker begins: the program that embeds Python, and the module that the site's interpreter runs
 * (wsgi/module.h). Started by the supervisor with its channel as descriptor 3. */
#include "base/title.h"
#include "worker/zygote.h"
#include "wsgi/module.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sysexits.h>

#define CHANNEL_FD 3

int module_main(int argc, char **argv)
{
    int type = 0;
    socklen_t size = sizeof type;

    if (getsockopt(CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
        fprintf(stderr, "cgunicorn's worker is started by cgunicorn: see cgunicorn(8)\n");
        return EX_USAGE;
    }
    (void)prctl(PR_SET_NAME, "cgunicorn-worker");
    title_init(argc, argv);
    return zygote_run(CHANNEL_FD);
}

int main(int argc, char **argv)
{
    return module_main(argc, argv);
}
