/* SPDX-License-Identifier: MIT */
/* A connection on its way from one worker of a site to another, through a SOCK_SEQPACKET pair that all of
 * them share: its descriptor, who its client is, and how far its request has come. One packet; octets that do
 * not fit into that go along in a memfd. Whatever arrives is checked: the application can write to any
 * descriptor that it finds.
 *
 * The order of the octets is the machine's, and the layout that of this version: the supervisor says in HELLO
 * which one the queue has (PARCEL_FORMAT), and a worker program that knows another one takes no part in
 * it. */
#pragma once

#include "base/buffer.h"
#include "base/parse.h"

#include <netinet/in.h>

#define PARCEL_FORMAT 1
#define PARCEL_INLINE_MAX (16 * 1024)

/* Out of the queue, but without its octets, for want of memory or of descriptors. */
#define PARCEL_E_CUT 1

typedef enum ParcelFlag {
    PARCEL_READY = 1 << 0,               /* the request is complete */
    PARCEL_HAS_BODY = 1 << 1,            /* … and its body is here, without its framing */
    PARCEL_KEPT_ALIVE = 1 << 2,          /* idle after a response, and not for the first request */
    PARCEL_HTTPS = 1 << 3,               /* as the PROXY protocol says; like what follows */
    PARCEL_NAMELESS = 1 << 4,            /* the address is not the client's */
    PARCEL_AWAITS_PROXY_HEADER = 1 << 5, /* which comes before anything else */
    PARCEL_FLAGS_ = (1 << 6) - 1,
} ParcelFlag;

typedef struct Parcel {
    int fd;
    uint32_t flags;    /* ParcelFlag */
    uint32_t listener; /* its number among the site's */
    usec_t
        deadline_usec; /* CLOCK_MONOTONIC, like what follows: of the head, or of the idle connection; 0: READY */
    usec_t started_usec; /* first octet of the request */
    usec_t ready_usec;   /* the request was complete */
    uint64_t request_id; /* of no other packet that is in the queue; of one without a request, of none */
    char address[INET6_ADDRSTRLEN]; /* of the client, and of what it connected to; "": none */
    char port[6];
    char server_address[INET6_ADDRSTRLEN];
    char server_port[6];
    Buffer in;   /* the head as it was received, and what came after it */
    Buffer body; /* its first octets; the others are those of a file */
    int body_fd; /* or -EBADF */
    uint64_t body_file_size;
} Parcel;

/* Never waits. Nothing of p is taken. 0, -EAGAIN (the queue is full), or another negative errno; the queue
 * then has nothing of it. */
int parcel_send(int queue, const Parcel *p);

/* Never waits. The caller owns what is in *ret: parcel_deinit(), or each part taken. 0; PARCEL_E_CUT: in and body are
 * not to be looked at; -EAGAIN: there is none; -EMFILE: no descriptors are left for one, which stays in the queue;
 * -EPROTO: malformed, nothing of it is kept; -EPIPE: the queue is gone; or another negative errno.
 *
 * The kernel gives what it has no descriptors for without them, and only once. So they are taken by MSG_PEEK first, and
 * the packet leaves the queue when they are here: threads of the application that take the last ones meanwhile do no
 * harm. Where, in between, another worker takes that packet, and threads take all descriptors at the same time, the
 * packet behind it is lost, with -EMFILE: two rare things within microseconds. Its client sees the connection end
 * without an answer, as after the death of a worker. A lock that all workers share would prevent it, and one who is
 * stopped while he has it would stop them all. */
int parcel_receive(int queue, Parcel *ret);

/* Closes its descriptors, frees its octets. */
void parcel_deinit(Parcel *p);

/* Since when the first one in the queue is a complete request; 0: it is none. 0; -EAGAIN: the queue is empty; or
 * another negative errno. Does not look at the rest of it. */
int parcel_peek(int queue, usec_t *ret_ready_usec);
