/* SPDX-License-Identifier: MIT */
/* The worker's event loop: one epoll descriptor, driven by whichever thread has the turn. Accepts, reads, writes, keeps
 * the deadlines; never calls Python, nor waits for its lock: where it needs that, the driver is to come with it. All of
 * it belongs to the driving thread, or to one that came in by the door, except where a function says otherwise. */
#pragma once

#include "config/config.h"
#include "http/date.h"
#include "http/forwarded-memory.h"
#include "http/known-lines.h"
#include "http/limits.h"
#include "ipc/scoreboard.h"
#include "ipc/totals.h"
#include "worker/access-log.h"
#include "worker/balance.h"
#include "worker/channel-end.h"
#include "worker/clients.h"
#include "worker/descriptors.h"
#include "worker/exchange.h"
#include "worker/file-roots.h"
#include "worker/flusher.h"
#include "worker/timeouts.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#define UNSENT_MAX 64

/* What an epoll event points to: the first member of each kind. */
typedef enum SourceType {
    SOURCE_LISTENER,
    SOURCE_CHANNEL,
    SOURCE_WAKE_UP,
    SOURCE_DOORBELL,
    SOURCE_QUEUE,
    SOURCE_QUEUE_ROOM,
    SOURCE_CONNECTION,
    SOURCE_CHECK,
    SOURCE_ALARM,
} SourceType;

typedef struct Source {
    SourceType type;
} Source;

typedef struct Listener {
    Source source;
    int fd;
    bool is_ready;               /* a connection is waiting */
    bool is_wildcard;            /* SERVER_NAME is each connection's own address */
    bool is_proxied;             /* connections begin with a PROXY protocol header */
    char name[INET6_ADDRSTRLEN]; /* SERVER_NAME, SERVER_PORT; "localhost" and "" on a Unix socket */
    char port[6];
} Listener;

struct Connection;
typedef struct Check Check;

/* Connections in the order in which they came: linked by Connection.next_queued. */
typedef struct ConnectionQueue {
    struct Connection *first;
    struct Connection *last;
    size_t n;
} ConnectionQueue;

/* See handover.h. */
typedef struct Handover {
    Source in_source;
    Source out_source;
    int in; /* ends of the queue, or -EBADF where there is none */
    int out;
    bool is_ready;         /* something may wait there */
    bool is_watched;       /* `in` is in the epoll set */
    bool is_full;          /* nothing more goes there until SOURCE_QUEUE_ROOM */
    usec_t look_usec;      /* since when a request may wait there that was given from here; 0: none does */
    usec_t next_note_usec; /* not before: about what was no connection */
} Handover;

typedef enum TimeoutKind {
    TIMEOUT_HEAD,
    TIMEOUT_BODY,
    TIMEOUT_WRITE,
    TIMEOUT_KEEPALIVE,
    TIMEOUT_LINGER,    /* of a closing connection */
    TIMEOUT_FAREWELL,  /* of an idle connection while draining: a request may be on its way */
    TIMEOUT_LAST_CALL, /* … of one that was idle for long already */
    N_TIMEOUTS_,
} TimeoutKind;

/* Whether the driver has the GIL, in a turn. */
typedef enum LoopGil {
    GIL_OUT_OF_REACH, /* he can't have it */
    GIL_WITHIN_REACH, /* he takes it when loop_wants_gil() */
    GIL_HELD,
} LoopGil;

typedef struct Loop {
    const Config *config;
    HttpLimits limits;
    KnownLines known_lines;
    ForwardedMemory forwarded_memory;
    Descriptors descriptors;
    int epoll_fd;
    Source channel_source;
    ChannelEnd channel;
    Source wake_source;
    int wake_fd; /* eventfd: another thread has something for the driver */
    ScoreboardSeat *seat;
    TotalsShard *total;

    Listener *listeners;
    size_t n_listeners;
    Source doorbell_source;
    int doorbell;             /* rung for the siblings when a connection is left to them */
    bool is_rung;             /* one of them has done so */
    bool has_unread;          /* the last wait may have left events in the epoll set */
    bool is_accepting;        /* the listeners, the doorbell and the queue are in the epoll set */
    bool is_held;             /* … and may not be before the supervisor has heard READY and said GO */
    Check *check;             /* NULL: there is none */
    bool is_behind;           /* the listeners were left alone for a while */
    bool is_full;             /* limits.connections, and none of them can be closed as yet */
    usec_t accept_after_usec; /* out of descriptors: no accept before */
    Balance balance;
    uint64_t n_displaced; /* connections that were closed to make room */
    usec_t next_full_record_usec;
    usec_t next_exhaustion_record_usec;

    Source alarm_source;
    int alarm_fd; /* see alarm.h; -EBADF: whoever drives waits himself */
    usec_t alarm_usec;

    usec_t now;
    usec_t active_usec; /* when the last exchange ended; 0: none has */
    time_t date_second;
    char date[DATE_SIZE];

    TimeoutList timeouts[N_TIMEOUTS_];
    TimeoutList running; /* requests that timeouts.request is watched for, see hang.h */
    size_t n_hung;       /* of those checked out, the ones that were given up */
    uint64_t n_requests;
    uint64_t first_request; /* a random number, from which their names are counted */
    ExchangePool exchanges;
    TrustedProxies *trusted;
    unsigned believed; /* of their fields: a set of ProxyHeader */
    Clients clients;
    usec_t next_stranger_note_usec; /* not before: about connections that proxy.protocol refused */
    usec_t next_malformed_note_usec;
    AccessLog *access_log; /* NULL: off */
    const FileRoots *file_roots;

    LoopGil gil;    /* set by the driver before each turn */
    bool wants_gil; /* a connection has something to receive for which memory of body-memory.h is needed */

    size_t n_connections;
    bool is_replacement_asked;
    uint64_t n_until_replaced; /* responses */
    size_t n_checked_out;      /* connections in the application */
    size_t n_slots;            /* applications that may run at a time */
    usec_t unmanned_since;     /* nobody could begin with another one; 0: somebody could */
    bool is_spared;            /* whoever drives runs no application: what is ready waits for somebody else */
    bool has_siblings;
    bool must_trim; /* the crew is to give back memory, when there is nothing else to do */
    Flusher *flusher;
    ConnectionQueue ready;                 /* requests for the application */
    struct Connection *unsent[UNSENT_MAX]; /* have answers that were computed, not yet sent */
    size_t n_unsent;
    usec_t unsent_since;
    struct Connection *closed; /* of this turn, not yet freed: events may still point to them */
    usec_t usual_usec;         /* how long the application takes, a moving average */
    Handover handover;
    _Atomic bool is_draining;
    _Atomic bool has_heirs; /* … and others serve meanwhile, who take what it gives */
    usec_t drain_deadline_usec;
    usec_t
        alone_usec; /* draining without heirs: siblings have had their time to take what waits for a thread */

    _Atomic(struct Connection *) returned; /* a stack: back from threads that do not drive */
    pthread_mutex_t door;                  /* see loop_enter(); guards these two */
    bool is_open;
    usec_t wakes_usec;       /* when the wait ends, if nothing happens */
    char scratch[64 * 1024]; /* for what is read and not kept */
} Loop;

/* Adds fd to the epoll set; source: what its events point to, a Source or what begins with one. 0 or negative
 * errno. */
int loop_watch(Loop *l, int fd, uint32_t events, void *source);

/* Waits for events (not at all unless may_block) and handles them. Returns their number, or negative
 * errno. */
int loop_turn(Loop *l, bool may_block);

/* The halves of a turn, for who waits elsewhere: what is to be done before a wait, 0 or negative errno; whether
 * something is left that no event will tell of, so that there is nothing to wait for; and the rest. */
int loop_prepare(Loop *l);
bool loop_may_wait(const Loop *l);
int loop_look(Loop *l, bool may_block);

/* Whether there is something to do in the next turn for which the GIL is needed. */
static inline bool loop_wants_gil(const Loop *l)
{
    return l->wants_gil || l->exchanges.unclean;
}

/* Makes a blocking loop_turn() return. Any thread. */
void loop_wake_up(Loop *l);

/* The door: open while the driver waits for events and applications run. Then a thread that comes back from one may
 * come in, and do with the loop what else only the driver may, but for what he does before each wait (loop_prepare()),
 * up to loop_leave(). False: he is at work; or the worker drains, and what comes next on the connection is for its
 * heirs. */
bool loop_enter(Loop *l);

/* wakes: there is something to do for the driver, beside deadlines that have become earlier. */
void loop_leave(Loop *l, bool wakes);

/* In a child that the application has forked: the connections and all else are not its own. loop: a Loop. */
void loop_on_forked_child(void *loop);

/* A connection need not end with its response. Any thread. */
static inline bool loop_keeps_alive(const Loop *l)
{
    return (!l->is_draining || l->has_heirs) && l->config->timeouts_keepalive > 0;
}

/* When it has something to do by itself, UINT64_MAX: nothing. */
usec_t loop_next_usec(const Loop *l);

/* Whether the application can be called once more. */
static inline bool loop_has_slot(const Loop *l)
{
    return l->n_checked_out < l->n_slots && l->unmanned_since == 0;
}

/* All threads of the application hang in requests that were given up; or one that all greenlets wait for. */
static inline bool loop_is_stuck(const Loop *l)
{
    return l->n_hung >= l->n_slots || (l->unmanned_since > 0 && l->n_hung > 0);
}

/* One more was answered. The seat's number has one writer, the driver; a shard may have several. */
static inline void loop_count_request(Loop *l)
{
    uint64_t n = atomic_load_explicit(&l->seat->requests, memory_order_relaxed);

    atomic_store_explicit(&l->seat->requests, n + 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->total->requests, 1, memory_order_relaxed);
}
