/* SPDX-License-Identifier: MIT */
/* The worker as a module of a running interpreter, _cgunicorn, whose function run() is what the program's main() is. It
 * never returns: the process ends by exit(3) with its result. */
#pragma once

/* The worker's, in worker/main.c: this layer does not know it. */
int module_main(int argc, char **argv);
