/* SPDX-License-Identifier: MIT */
/* The syntax of an INI file: bytes in, sections and key-value lines with their numbers out. Knows no key. The
 * only user of inih. */
#pragma once

#include "base/span.h"

#define READER_LINE_MAX 8190 /* octets of a line, without its end */

typedef struct ReaderEvents {
    void (*on_section)(void *userdata, unsigned line, Span name); /* data NULL: it was malformed */
    /* A key and what follows it; blanks around it and a comment behind it are cut off. */
    void (*on_value)(void *userdata, unsigned line, const char *key, Span value);
    /* An indented line: more of the value before. */
    void (*on_continuation)(void *userdata, unsigned line, Span value);
    void (*on_error)(void *userdata, unsigned line, const char *message);
} ReaderEvents;

/* Calls the events in the order of the lines. 0 or -ENOMEM. */
int reader_parse(const char *data, size_t size, const ReaderEvents *events, void *userdata);

/* What forbids s to stand in a configuration file: an invalid octet. NULL: nothing. A tab is allowed. */
const char *reader_bad_octet(Span s);

/* s without the blanks around it. */
Span reader_trim(Span s);

/* s without the comment that a ';' at its start or behind a blank begins, and without blanks around it. */
Span reader_strip(Span s);
