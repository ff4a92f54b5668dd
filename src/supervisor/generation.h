/* SPDX-License-Identifier: MIT */
/* A generation: one load of (configuration, code). A zygote that loaded it, and the seats of the workers that
 * it forks. Which generation serves, and when one replaces another, is the supervisor's to decide. */
#pragma once

#include "base/cleanup.h"
#include "config/config.h"
#include "ipc/scoreboard.h"
#include "supervisor/seat.h"
#include "supervisor/sizing.h"
#include "supervisor/sockets.h"
#include "supervisor/staffing.h"
#include "supervisor/watch.h"

#include <signal.h>
#include <stdbool.h>

typedef enum ZygoteState {
    ZYGOTE_LOADING,
    ZYGOTE_READY,
    ZYGOTE_LEAVING, /* told to go, or not heard of any more */
    ZYGOTE_GONE,
} ZygoteState;

/* An exit that may be that of a worker whose pid the zygote is about to tell. */
typedef struct EarlyExit {
    pid_t pid;
    siginfo_t exit;
} EarlyExit;
#define GENERATION_EARLY_EXITS_MAX 16

typedef struct Generation Generation;
struct Generation {
    unsigned number;
    Config *config;
    Scoreboard *scoreboard;
    sd_event *event;
    Watch *watch; /* borrowed: told where the modules of its workers come from; may be NULL */
    ZygoteState zygote;
    pid_t zygote_pid;
    int channel;
    sd_event_source *source;
    usec_t started_usec;
    usec_t deadline_usec;  /* of the zygote's state; 0: none */
    usec_t measure_usec;   /* when the workers' memory is to be looked at again */
    usec_t scan_usec;      /* when requests are to be looked at again */
    uint32_t said;         /* by the zygote: a bit for each MessageType */
    bool zygote_explained; /* a record says why the zygote goes, or it was told to */
    bool retired;          /* spawns no worker any more */
    bool proven;           /* its workers need no check */
    unsigned n_deaths;     /* of workers, that nobody wanted */
    char *failure;         /* what went wrong last, one line; NULL: nothing */
    EarlyExit early[GENERATION_EARLY_EXITS_MAX];
    unsigned n_early;
    Seat *seats;
    unsigned n_seats;  /* for those that are wanted, and those that come before others go */
    unsigned n_wanted; /* workers that should serve */
    StaffingDebt debt; /* of workers that failed */
    bool is_throttled; /* which a record says */
    Sizing sizing;
    usec_t sample_usec;     /* when sizing is to be asked again */
    const Sockets *sockets; /* borrowed */
    Generation **list;      /* borrowed: the first of all that there are, this one among them */
    Generation *next;       /* in that list */
};

/* Starts the zygote. The new generation becomes the first of the list, which must outlive it. config belongs
 * to it from now on, also after an error. 0, negative errno, or WORKER_PROGRAM_E_NONE with *ret_error. */
int generation_new(sd_event *event, const char *site, unsigned number, Config *config, const Sockets *sockets,
                   int totals_fd, Generation **list, char **ret_error);

/* Takes it out of its list. Processes are left alone; they see the end of their channels. */
Generation *generation_free(Generation *g);
DEFINE_CLEANUP(Generation, generation)

/* Does what is due: asks for the workers that are missing, n_more of them at most, and sees to all time
 * limits. Returns when it wants to be called again, at the latest. */
usec_t generation_advance(Generation *g, unsigned n_more, usec_t now);

/* More or fewer workers, as far as there may be; says so in the log. */
void generation_resize(Generation *g, int by, usec_t now);

/* Memory is short: surplus workers go, the others give back what they can. */
void generation_relieve(Generation *g, usec_t now);

/* An elastic generation goes on with the size that the one before has grown to. */
void generation_succeed(Generation *g, const Generation *before, usec_t now);

/* A child has ended, stopped or gone on (waitid(2)). Whether it is one of the generation's. */
bool generation_on_change(Generation *g, const siginfo_t *change, usec_t now);

/* No more workers, but the zygote stays; who is not ready goes, and who serves goes on until
 * generation_drain(). */
void generation_suspend(Generation *g, usec_t now);
void generation_resume(Generation *g);

/* No more workers: the zygote goes, and so does who is not ready. Who serves goes on until
 * generation_drain(). */
void generation_retire(Generation *g, usec_t now);
void generation_drain(Generation *g, unsigned seat, usec_t now);
void generation_drain_all(Generation *g, usec_t now);
/* To everybody of it, and nobody serves the site after them; hands_over: but its next instance, for which the
 * sockets stay open. */
void generation_end(Generation *g, bool hands_over, usec_t now);
void generation_kill(Generation *g, usec_t now);

/* When nobody of it accepts connections any more: 0 where that is so already, UINT64_MAX where somebody was not told to
 * go. A worker that does not answer DRAIN is taken for quiet after GENERATION_QUIET_USEC: it hangs, and what it accepts
 * once it goes on, it gives to those who serve (ScoreboardSeat.is_dismissed). */
#define GENERATION_QUIET_USEC USEC_PER_SEC
usec_t generation_quiet_at(const Generation *g);

/* No process of it is left. */
bool generation_is_gone(const Generation *g);

typedef struct GenerationCount {
    unsigned n_serving;
    unsigned n_workers; /* processes, in any state */
    unsigned n_busy;    /* requests in the application */
} GenerationCount;

GenerationCount generation_count(const Generation *g);

/* Requests of one worker in the application. */
unsigned generation_count_busy(const Generation *g, unsigned seat);

/* As many workers serve as should. */
bool generation_is_staffed(const Generation *g);
