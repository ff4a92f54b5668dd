/* SPDX-License-Identifier: MIT */
/* The interpreter: start, fork hooks, threads, end. It may run already, where it is the program that this is a module
 * of. */
#pragma once

#include <stdbool.h>

typedef struct InterpreterOptions {
    const char *virtualenv;   /* of the interpreter to be started; NULL: its own packages */
    const char *chdir;        /* first entry of sys.path; the process is there already; NULL: none */
    char *const *pythonpath;  /* NULL-terminated or NULL; in front of the rest of sys.path */
    const char *process_name; /* sys.argv[0] */
} InterpreterOptions;

/* Every *ret_error here is text for the log, to be freed. 0, or -1 with *ret_error.
 * Afterwards the calling thread holds the GIL and is the main one of the threading module; faulthandler is on
 * for SIGABRT, SIGSEGV, SIGBUS, SIGFPE and SIGILL, all threads, on fd 2; sys.stdout and sys.stderr are
 * line-buffered; no signal handler of Python is installed, nor will be by an import. */
int interpreter_init(const InterpreterOptions *options, char **ret_error);

/* Around a fork in the thread that holds the GIL: before, then in the parent, and in the child that goes on
 * as a worker (only there). See PyOS_BeforeFork() in the C API manual. */
void interpreter_before_fork(void);
void interpreter_after_fork_parent(void);
void interpreter_after_fork_child(void);

/* A child of os.fork() in the application has a copy of the worker around it: of its connections, its loop,
 * its locks. It may run on and exit, but must not come back into the server. */
bool interpreter_is_forked_child(void);

/* Called in each such child first, until it is set anew; NULL: nothing is. Only what is async-signal-safe. */
void interpreter_on_forked_child(void (*callback)(void *arg), void *arg);

/* Ends such a child: by its SystemExit if that is the current exception, else with status 1 and a line on
 * stderr. With the GIL. */
_Noreturn void interpreter_exit_forked_child(void);

/* gc.freeze(), before the first fork: a collection writes to each object that it looks at, and so makes each worker
 * copy all that it has from the zygote. */
void interpreter_freeze(void);

/* As gc.collect(), unless the application has switched the collector off; then gives back what is kept for frames. With
 * the GIL. */
void interpreter_collect(void);

/* Runs atexit and threading's shutdown and ends the interpreter. The calling thread holds the GIL. */
void interpreter_finalize(void);

/* A thread of the worker that will run Python. The main thread's state exists from interpreter_init() on. */
typedef struct InterpreterThread InterpreterThread;
InterpreterThread *interpreter_main_thread(void);
/* Called by the thread itself, without the GIL. name: as the threading module shows it. NULL: no memory */
InterpreterThread *interpreter_thread_new(const char *name);

/* Takes and gives back the GIL for this thread. */
void interpreter_acquire(InterpreterThread *t);
void interpreter_release(InterpreterThread *t);

/* As sys.version: "3.11.2 (main, …) [GCC …]". */
const char *interpreter_version(void);
