/* SPDX-License-Identifier: MIT */
/* A model of the token of src/worker/crew.h: crew.c, where members drive, and member.c, where they idle, and of the door of
 * loop.c, atomic step by atomic step, with T members that may run the application and the spare. Checked by
 * tests/model/check:
 *
 *   assertions       one member is in the loop at any time
 *   no invalid end   nobody waits for ever: the model ends only where every request was answered and all members are done
 *
 * Requests become ready at any time, the application takes any time: each look may find that it has run for long; and some
 * return only when the loop has gone on. A time limit that passes is modelled as a wait that may end at any time; so a
 * watcher that is parked, and is not woken, is stuck, and found. */

#ifndef T
#define T 2
#endif
#define N (T + 1)       /* members; the last is the spare */
#define SPARE T
#ifndef R
#define R 2             /* requests */
#endif
#define NOBODY 255

#ifndef MUTATION
#define MUTATION 0
#endif
#define MUTATION_NO_LOCK 1 /* the driver does not wait for who is in */
#define MUTATION_NO_WAKE 2 /* who leaves lets the driver sleep */

mtype = { FREE, DRIVING, RUNNING };

typedef Token {
    mtype state = FREE;
    byte who = 0;
    byte serial = 0
};

Token token;
bool is_parked, is_wanted;
byte serial;

/* Crew.lock, and what it guards. */
bool lock;
bool is_idle[N], is_started[N], woken[N];
byte watcher = NOBODY;
bool is_urgent, is_over;

/* The loop. */
byte to_come = R, n_ready, n_checked_out, n_returned, n_answered;
bool wake_fd;
bool door;              /* Loop.door */
bool is_open;
byte n_in_loop;         /* ghost */

#define acquire() atomic { !lock -> lock = true }
#define release() lock = false
#define signal(m) woken[m] = true
#define is_finished (n_answered == R)
#define has_slot (n_checked_out < T)

/* With the lock. pthread_cond_wait(): gives it back, and wakes up with it. */
inline wait_for_signal(m)
{
    atomic { woken[m] = false; release() };
    atomic { woken[m] && !lock -> lock = true }
}

/* pthread_cond_timedwait() */
inline wait_a_while()
{
    release();
    acquire()
}

inline choose_watcher()
{
    d_step {
        i = 0;
        do
        :: i < N && !is_idle[i] -> i++
        :: else -> break
        od;
        if
        :: i == N -> i = NOBODY
        :: else
        fi;
        if
        :: i != watcher ->
            if
            :: watcher != NOBODY -> signal(watcher)
            :: else
            fi;
            watcher = i;
            is_parked = false;
            if
            :: i != NOBODY -> signal(i)
            :: else
            fi
        :: else
        fi;
        i = 0
    }
}

inline wake_watcher(urgent)
{
    acquire();
    is_urgent = is_urgent || urgent;
    if
    :: watcher != NOBODY -> signal(watcher)
    :: else
    fi;
    release()
}

/* Whether token is what t_… say, as atomic_compare_exchange_strong() has it: then it is DRIVING(me). */
inline take_token()
{
    d_step {
        got = token.state == t_state && token.who == t_member && token.serial == t_serial;
        if
        :: got ->
            token.state = DRIVING;
            token.who = me;
            token.serial = 0
        :: else
        fi
    }
}

inline load_token()
{
    d_step { t_state = token.state; t_member = token.who; t_serial = token.serial }
}

/* What nobody reads again: fewer states to tell apart. */
inline forget()
{
    d_step { t_state = FREE; t_member = 0; t_serial = 0; got = false }
}

/* One look, with the lock. */
inline look()
{
    load_token();
    drives = false;
    if
    :: t_state != DRIVING -> /* offered; or RUNNING for long, or urgent */
        take_token();
        drives = got;
        if
        :: !got -> load_token() /* that of the failed exchange */
        :: else
        fi
    :: t_state == DRIVING || (t_state == RUNNING && !is_urgent)
    fi;
    if
    :: drives -> forget()
    :: else ->
        if
        :: t_state != RUNNING -> is_urgent = false
        :: else
        fi;
        was_running = t_state == RUNNING;
        forget();
        if
        :: wait_a_while()
        :: !was_running -> /* for PARK_AFTER_USEC */
            is_parked = true;
            if
            :: token.state == DRIVING -> wait_for_signal(me)
            :: else
            fi;
            if
            :: watcher == me -> is_parked = false
            :: else
            fi
        fi;
        was_running = false
    fi
}

inline idle()
{
    acquire();
    is_idle[me] = true;
    if
    :: me != SPARE && token.who == SPARE ->
        is_wanted = true;
        wake_fd = true
    :: else
    fi;
    choose_watcher();
    drives = false;
    do
    :: drives || is_over -> break
    :: else ->
        if
        :: watcher == me -> look()
        :: else -> wait_for_signal(me)
        fi
    od;
    is_idle[me] = false;
    if
    :: drives -> is_urgent = false
    :: else
    fi;
    if
    :: drives && me == SPARE -> /* crew_grow() */
        i = 0;
        do
        :: i < T && is_started[i] -> i++
        :: else -> break
        od;
        if
        :: i < T -> is_started[i] = true; run member_main(i)
        :: else
        fi;
        i = 0
    :: else
    fi;
    choose_watcher();
    release()
}

inline leave_loop()
{
    assert(n_in_loop == 1);
    n_in_loop--
}

inline enter_loop()
{
    n_in_loop++;
    assert(n_in_loop == 1)
}

inline call_application()
{
    if
    :: true                 /* it returns at some time */
    :: true -> to_come == 0 /* it does so when the loop has gone on, not before: as one that waits for another client */
    fi
}

/* member_change(): whether there is a next one. */
inline change_request()
{
    atomic { !door -> door = true };
    if
    :: is_open ->
        enter_loop();
        n_checked_out--;
        n_answered++;
        has_next = false;
        if
        :: n_ready > 0 && has_slot -> n_ready--; n_checked_out++; has_next = true
        :: true /* none, or the application is usually fast */
        fi;
        leave_loop();
        door = false;
        if
        :: !has_next && MUTATION != MUTATION_NO_WAKE -> wake_fd = true
        :: else
        fi
    :: else ->
        door = false;
        n_returned++;   /* requests_hand_back() */
        wake_fd = true;
        has_next = false
    fi
}

/* member_run(): still drives, or not. */
inline run_request(urgent)
{
    n_ready--;
    n_checked_out++;
    serial++;
    t_state = RUNNING; t_member = me; t_serial = serial;
    leave_loop();
    d_step { token.state = RUNNING; token.who = me; token.serial = serial };
    if
    :: urgent || is_parked -> wake_watcher(urgent)
    :: else
    fi;
    call_application();
    take_token();
    drives = got;
    forget();
    if
    :: drives ->
        enter_loop();
        n_checked_out--;
        n_answered++
    :: else ->
        change_request();
        do
        :: has_next -> call_application(); change_request()
        :: else -> break
        od
    fi
}

inline finish()
{
    acquire();
    is_over = true;
    d_step {
        i = 0;
        do
        :: i < N -> signal(i); i++
        :: else -> break
        od;
        i = 0
    };
    release();
    drives = false
}

inline open_door()
{
    leave_loop();
    atomic { !door -> is_open = true }
}

inline close_door()
{
    if
    :: atomic { !door || MUTATION == MUTATION_NO_LOCK -> is_open = false }
    fi;
    enter_loop()
}

/* loop_turn(), with a wait that ends when there is something. */
inline turn()
{
    if
    :: n_ready > 0 && has_slot && me != SPARE
    :: else ->
        was_open = n_checked_out > 0;
        if
        :: was_open -> open_door()
        :: else
        fi;
        is_told = false;
        if
        :: wake_fd -> is_told = true
        :: to_come > 0
        fi;
        if
        :: was_open -> close_door()
        :: else
        fi;
        if
        :: is_told -> wake_fd = false
        :: else -> to_come--; n_ready++
        fi;
        was_open = false; is_told = false
    fi;
    d_step { /* requests_take_returned() */
        n_checked_out = n_checked_out - n_returned;
        n_answered = n_answered + n_returned;
        n_returned = 0
    }
}

proctype member_main(byte me)
{
    byte i;
    bool drives, got, was_wanted, was_running, has_next, was_open, is_told;
    mtype t_state;
    byte t_member, t_serial;

    do
    :: idle();
        if
        :: !drives -> break
        :: else
        fi;
        enter_loop();
        do
        :: !drives -> break
        :: drives && me != SPARE && n_ready > 0 && has_slot ->
            if
            :: run_request(false)
            :: run_request(true)
            fi
        :: drives && !(me != SPARE && n_ready > 0 && has_slot) ->
            if
            :: is_finished -> leave_loop(); finish()
            :: else ->
                was_wanted = false;
                if
                :: me == SPARE -> atomic { was_wanted = is_wanted; is_wanted = false }
                :: else
                fi;
                if
                :: was_wanted ->
                    leave_loop();
                    d_step { token.state = FREE; token.who = 0; token.serial = 0 };
                    wake_watcher(false);
                    was_wanted = false;
                    drives = false
                :: else -> turn()
                fi
            fi
        od
    od
}

init
{
    atomic {
        is_started[0] = true;
        run member_main(SPARE);
        run member_main(0)
    }
}
