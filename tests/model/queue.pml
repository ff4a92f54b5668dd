/* SPDX-License-Identifier: MIT */
/* A model of the queue between workers: src/worker/handover.c, with what accept.c and drain.c do for it, and the turn of
 * loop.c. W workers with one thread each, R requests, which become ready in any of them at any time; the application returns
 * at any time. Checked by tests/model/check:
 *
 *   when nobody can go on, though no application returns   no request waits while a worker that serves has its thread free
 *   when nobody can go on at all                           each request was answered, and once; who was told to go is gone
 *
 * -DSTOP: at some time all are told to go. -DRELOAD: worker 0 is, and the others are its heirs. -DSTUCK: the application of
 * worker 0 never returns, and was given up. -DLINGER: worker 1 has a connection that is idle, and ends by its time when
 * worker 1 is among the last to go. A time limit passes only when nobody can go on.
 *
 * The events are those of epoll(7): the queue and the doorbell are level-triggered, and EPOLLEXCLUSIVE: of those that sleep
 * one is woken; those that do not may have it in their lists, too. Who does not watch is not told, and sees what is there
 * when it watches again.
 *
 * The mutations under MUTATION must each be found. */

#ifndef W
#define W 2
#endif
#ifndef R
#define R 2
#endif
#ifndef DEPTH
#define DEPTH 1
#endif
#ifndef MUTATION
#define MUTATION 0
#endif
#define MUTATION_NO_RING 1       /* who was woken and is saturated says nothing */
#define MUTATION_NO_LOOK 2       /* who watches again does not look at what is there */
#define MUTATION_CLOSE_FIRST 3   /* a connection is closed here before it is in the queue */
#define MUTATION_GO_EARLY 4      /* the last one does not wait for an empty queue */
#define MUTATION_NO_ROOM 5       /* a full queue is not watched for room */
#define MUTATION_DEAF 6          /* who is the last to go hears nothing of the queue */
#define MUTATION_TAKE_NONE 7     /* who is stuck takes nothing, also when nobody else will */

byte to_come = R, n_queued, n_done;
byte home[W];               /* ready there */
bool running[W], is_over[W]; /* its application; and it has returned */
bool is_told[W], is_draining[W], has_heirs[W], is_gone[W];
bool watches[W], watches_room[W];
bool listed[2 * W], is_touched[W], is_asleep[W];
#define QUEUE 0             /* in the list of what epoll has to tell of: by event and worker */
#define BELL W
bool rung;
bool is_frozen, was_frozen, is_late;

#ifdef STUCK
#define is_stuck(w) (w == 0)
#else
#define is_stuck(w) false
#endif
#ifdef LINGER
#define lingers(w) (w == 1)
#else
#define lingers(w) false
#endif
#define is_last(w) (is_draining[w] && !has_heirs[w])
#define serves(w) (!is_gone[w] && !running[w] && !(is_draining[w] && has_heirs[w]))

/* --- epoll --- */

inline tell_one(event)
{
    if
    :: watches[0] && is_asleep[0] -> listed[event + 0] = true; is_asleep[0] = false
    :: watches[1] && is_asleep[1] -> listed[event + 1] = true; is_asleep[1] = false
#if W > 2
    :: watches[2] && is_asleep[2] -> listed[event + 2] = true; is_asleep[2] = false
#endif
    :: else ->
        listed[event + 0] = watches[0];
        listed[event + 1] = watches[1]
#if W > 2
        ; listed[event + 2] = watches[2]
#endif
    fi
}

inline set_watch(on)
{
    d_step {
        listed[QUEUE + me] = on && n_queued > 0 && (watches[me] -> listed[QUEUE + me] : MUTATION != MUTATION_NO_LOOK);
        listed[BELL + me] = on && rung && (watches[me] -> listed[BELL + me] : true);
        watches[me] = on
    }
}

inline ring()
{
    atomic {
        rung = true;
        tell_one(BELL)
    }
}

/* --- the queue --- */

inline take_one()
{
    atomic {
        more = n_queued > 0;
        if
        :: n_queued > 0 ->
            n_queued--;
            home[me]++;
            i = 0;
            do
            :: i < W -> is_asleep[i] = is_asleep[i] && !watches_room[i]; i++
            :: else -> break
            od;
            i = 0
        :: else
        fi
    }
}

inline give_one()
{
    atomic {
        if
        :: n_queued < DEPTH ->
            home[me]--;
            n_queued++;
            tell_one(QUEUE)
        :: else ->
            is_full = true;
            if
            :: MUTATION == MUTATION_CLOSE_FIRST -> home[me]--
            :: else
            fi;
            watches_room[me] = MUTATION != MUTATION_NO_ROOM
        fi
    }
}

inline offer()
{
    do
    :: running[me] && home[me] > 0 && !is_full && !(is_stuck(me) && is_last(me) && is_late) -> give_one()
    :: else -> break
    od
}

/* accept_connections() */
inline accept()
{
    if
    :: is_ready && !is_last(me) && watches[me] ->
        take_one();
        if
        :: is_rung && more && MUTATION != MUTATION_NO_RING -> ring()
        :: else
        fi
    :: is_ready && !is_last(me) && !watches[me] && MUTATION != MUTATION_NO_RING -> ring()
    :: else
    fi;
    d_step { is_ready = false; is_rung = false; more = false }
}

/* drain_alone() */
inline take_as_last()
{
    if
    :: !running[me] || (is_stuck(me) && is_late && MUTATION != MUTATION_TAKE_NONE) -> take_one()
    :: else
    fi;
    more = false;
    if
    :: watches[me] != (!running[me] && MUTATION != MUTATION_DEAF) -> set_watch(!watches[me])
    :: else
    fi
}

#define is_finished (is_draining[me] && home[me] == 0 && (!running[me] || is_stuck(me)) && \
    (!lingers(me) || has_heirs[me] || is_late) && (has_heirs[me] || n_queued == 0 || MUTATION == MUTATION_GO_EARLY))
#define is_due (is_stuck(me) && is_last(me) && is_late && n_queued + home[me] > 0 && MUTATION != MUTATION_TAKE_NONE)

/* epoll_wait(): what it tells of; or sleeps. */
inline wait()
{
    atomic {
        listed[QUEUE + me] = listed[QUEUE + me] && n_queued > 0;
        listed[BELL + me] = listed[BELL + me] && rung;
        if
        :: listed[QUEUE + me] || listed[BELL + me] || is_touched[me] || (watches_room[me] && n_queued < DEPTH) ||
           (home[me] > 0 && !running[me]) || is_due || is_finished
        :: else -> is_asleep[me] = true
        fi
    };
end_asleep:
    !is_asleep[me]
}

inline handle()
{
    atomic {
        is_ready = listed[QUEUE + me] && n_queued > 0;
        if
        :: listed[BELL + me] && rung -> rung = false; is_rung = true; is_ready = true
        :: else
        fi;
        if
        :: watches_room[me] && n_queued < DEPTH -> watches_room[me] = false; is_full = false
        :: else
        fi;
        is_touched[me] = false;
        if
        :: is_over[me] -> is_over[me] = false; running[me] = false; n_done++
        :: else
        fi
    };
    if
    :: is_told[me] && !is_draining[me] ->
        set_watch(false);
        is_draining[me] = true
    :: else
    fi;
    if
    :: home[me] == 0 -> accept()
    :: else
    fi;
    if /* hang_expire() */
    :: is_stuck(me) && is_last(me) && is_late -> d_step { n_done = n_done + home[me]; home[me] = 0 }
    :: else
    fi
}

proctype worker(byte me)
{
    byte i;
    bool is_ready, is_rung, is_full, more, accepts;

    do
    :: is_finished -> is_gone[me] = true; set_watch(false); break
    :: !is_finished ->
        atomic {
            if
            :: home[me] > 0 && !running[me] -> home[me]--; running[me] = true
            :: else
            fi
        };
        accepts = !is_draining[me] && !running[me];
        if
        :: !is_last(me) && accepts && !watches[me] ->
            set_watch(true);
            is_ready = MUTATION != MUTATION_NO_LOOK
        :: !is_last(me) && !accepts && watches[me] -> set_watch(false)
        :: else
        fi;
        accept();
        offer();
        if
        :: is_last(me) -> take_as_last()
        :: else
        fi;
        wait();
        handle()
    od
}

/* --- the world --- */

inline touch(w)
{
    is_touched[w] = true;
    is_asleep[w] = false
}

inline tell(w)
{
    is_told[w] = true;
    to_come = 0;
#ifdef RELOAD
    has_heirs[w] = true;
#endif
    touch(w)
}

inline check_all()
{
    i = 0;
    do
    :: i < W ->
        waiting = waiting + home[i];
        is_free = is_free || serves(i);
        i++
    :: else -> break
    od
}

#define may_return(w) (running[w] && !is_over[w] && !is_frozen && !is_stuck(w))
#if defined(STOP)
#define may_tell(w) (!is_told[w])
#elif defined(RELOAD)
#define may_tell(w) (w == 0 && !is_told[w])
#else
#define may_tell(w) false
#endif

/* The clients, the applications, the supervisor and the clock. */
proctype world()
{
    byte i, waiting, n_expected = R;
    bool is_free;

    do
    :: atomic { to_come > 0 && !is_draining[0] && !is_told[0] -> to_come--; home[0]++; touch(0) }
    :: atomic { to_come > 0 && !is_draining[1] && !is_told[1] -> to_come--; home[1]++; touch(1) }
    :: atomic { may_return(0) -> is_over[0] = true; touch(0) }
    :: atomic { may_return(1) -> is_over[1] = true; touch(1) }
    :: atomic { may_tell(0) -> n_expected = n_expected - to_come; tell(0) }
    :: atomic { may_tell(1) -> n_expected = n_expected - to_come; tell(1) }
#if W > 2
    :: atomic { may_return(2) -> is_over[2] = true; touch(2) }
    :: atomic { may_tell(2) -> n_expected = n_expected - to_come; tell(2) }
#endif
    :: atomic { !was_frozen -> was_frozen = true; is_frozen = true }
    :: atomic { timeout && is_frozen ->
            check_all();
            assert(n_queued + waiting == 0 || !is_free);
            is_frozen = false; waiting = 0; is_free = false; i = 0 }
    :: atomic { timeout && !is_frozen && !is_late ->
            is_late = true; touch(0); touch(1) }
    :: atomic { timeout && !is_frozen && is_late ->
            assert(n_done == n_expected);
#ifdef STOP
            assert(is_gone[0] && is_gone[1]);
#endif
#ifdef RELOAD
            assert(is_gone[0]);
#endif
            break }
    od
}

init
{
    atomic {
#ifdef STUCK
        running[0] = true;
#endif
        run worker(0);
        run worker(1);
#if W > 2
        run worker(2);
#endif
        run world()
    }
}
