/* SPDX-License-Identifier: MIT */
/* `cgunicorn serve`: the command line of the supervisor. */
#pragma once

/* argv[0] is the verb. Returns the exit status. */
int serve_main(int argc, char **argv);
