/* SPDX-License-Identifier: MIT */
/* cgunicorn-worker-X.Y: the program that embeds libpython. Started by the supervisor with its channel as
 * descriptor 3. */
#include "base/title.h"
#include "worker/zygote.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#define CHANNEL_FD 3

int main(int argc, char **argv)
{
    int type = 0;
    socklen_t size = sizeof type;

    if (getsockopt(CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
        fprintf(stderr, "%s is started by cgunicorn: see cgunicorn(8)\n",
                argc > 0 ? argv[0] : "cgunicorn-worker");
        return EX_USAGE;
    }
    title_init(argc, argv);
    return zygote_run(CHANNEL_FD);
}
