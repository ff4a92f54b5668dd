/* SPDX-License-Identifier: MIT */
/* `cgunicorn options`: all keys of an INI file with types, values and defaults; with --ini as a commented
 * file. */
#pragma once

/* argv[0] is the verb. Returns the exit status of the process. */
int options_main(int argc, char **argv);
