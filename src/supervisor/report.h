/* SPDX-License-Identifier: MIT */
/* What the supervisor says about its children: deaths, timeouts, failures to load. Every request line that is
 * quoted comes from memory that the application can write to, and is made harmless here. */
#pragma once

#include "base/parse.h"
#include "ipc/scoreboard.h"

#include <signal.h>
#include <stddef.h>

/* A process in a record: worker `seat` of a generation, or, below 0, its zygote. */
typedef struct ReportSubject {
    unsigned generation;
    int seat;
    pid_t pid;
} ReportSubject;

/* "was killed by signal 9 (SIGKILL)", "exited with status 1"; cut to fit. si_errno, which Linux leaves at 0,
 * is ENOMEM where the kernel did it for want of memory. The result is `to`. */
char *report_describe_exit(const siginfo_t *exit, char *to, size_t size);

/* A death that nobody here wanted, with the requests that the worker had in the application. */
void report_died(const ReportSubject *who, const Scoreboard *b, const siginfo_t *exit, usec_t now);

/* A signal has stopped it, or lets it go on. */
void report_stopped(const ReportSubject *who, const siginfo_t *change);

/* It has been stopped for longer than limit_usec. */
void report_stays_stopped(const ReportSubject *who, const Scoreboard *b, usec_t limit_usec, usec_t now);

/* FAILED: the text is a reason and a traceback. */
void report_load_failed(const ReportSubject *who, const char *text);

/* FAILED, after the application was loaded: why reload.check_path was not answered well. */
void report_check_failed(const ReportSubject *who, const char *text);

/* The request in a slot has run since started_usec, longer than limit_usec, and its worker does nothing about
 * it. */
void report_request_timeout(const ReportSubject *who, const ScoreboardSlot *slot, usec_t started_usec,
                            usec_t limit_usec, usec_t now);

/* The application was not loaded, or a worker not gone, in limit_usec. doing: "loading the application" …;
 * key: the option that sets the limit. */
void report_stuck(const ReportSubject *who, const Scoreboard *b, const char *doing, const char *key,
                  usec_t limit_usec, usec_t now);

/* A process sent what is not to be believed: "a malformed message" … */
void report_nonsense(const ReportSubject *who, const char *what);

/* A worker that serves on until another does in its place. */
void report_replacing(const ReportSubject *who, const char *why);

/* The last line that is not empty, where Python names the exception. The caller frees it. NULL: no memory. */
char *report_last_line(const char *text);
