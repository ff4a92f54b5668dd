/* SPDX-License-Identifier: MIT */
/* The body of an exchange on its way in: framing off, octets out. Shared by both ways to receive one: into a
 * spool before the application is called (intake.c), and by the application as it reads (live-body.c). */
#pragma once

#include "worker/exchange.h"

/* Octets behind the head that were received and not yet taken; those of what follows the body among them. */
static inline Span body_unread(const Exchange *x)
{
    size_t at = x->head_size + x->body_used;

    return (Span){buffer_head(&x->in) + at, buffer_size(&x->in) - at};
}

/* Takes the next run of body octets from body_unread(), looking at max of those: *ret may be empty. 0: the
 * body is whole; HTTP_E_MORE; or the status to refuse with, for x->chunked.reason. */
int body_take(Exchange *x, const HttpLimits *limits, size_t max, Span *ret);

/* Forgets what was taken: what follows moves up to the head, which the request points to and which stays in
 * its place. */
void body_drop_taken(Exchange *x);

/* Octets of a sized body that were not received. */
static inline uint64_t body_missing(const Exchange *x)
{
    return (uint64_t)x->request.content_length - x->body_received;
}

/* Whether all of it was received, taken or not. */
bool body_is_here(const Exchange *x, const HttpLimits *limits);

/* Takes and drops the rest. False: it was not received, and may still come. */
bool body_skip(Exchange *x, const HttpLimits *limits);

/* A client that sends an octet now and then would never time out. elapsed: while it was waited for. */
bool body_is_too_slow(const Exchange *x, const Config *config, usec_t elapsed);

/* Queues "100 Continue", once, if the client waits for that (RFC 9110 §10.1.1): not when some of the body is
 * here. The output must be simple. 0 or -ENOMEM. */
int body_continue(Exchange *x);
