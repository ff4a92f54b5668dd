/* SPDX-License-Identifier: MIT */
/* develop.reload: notices that source files change, by inotify(7). Directories are watched, not files, as
 * editors write a new file and rename it over the old one; what counts there are modules of Python, and what
 * develop.watch names. Which directories modules come from, workers tell. */
#pragma once

#include "config/config.h"

#include <systemd/sd-event.h>
#include <time.h>

/* path: the first of those that changed. */
typedef void (*WatchHandler)(void *userdata, const char *path);

typedef struct WatchedDirectory WatchedDirectory;

/* Zero-initialised: off. */
typedef struct Watch {
    sd_event *event; /* borrowed */
    sd_event_source *timer;
    WatchHandler on_change;
    void *userdata;
    WatchedDirectory *directories;
    size_t n_directories;
    char **patterns;       /* absolute, see supervisor/path-glob.h */
    struct timespec since; /* what is found changed after this may have been loaded before */
    usec_t latest_usec;    /* when on_change is called, whatever comes in between; 0: nothing has changed */
    char *changed;
    bool has_warned; /* it was said that not everything can be watched */
} Watch;

/* Before a generation loads. on_change is called when files have changed and then been left alone for a
 * moment. With develop.reload = no everything ends. */
void watch_begin(Watch *w, sd_event *event, const Config *config, WatchHandler on_change, void *userdata);

/* The directories of modules, one a line; what is no absolute path is ignored, as the text comes from a
 * worker. Those of earlier generations stay: a module that fails now may be in one of them. Changes since
 * watch_begin() count, though nobody was watching there yet. */
void watch_add_modules(Watch *w, const char *directories);

void watch_deinit(Watch *w);
