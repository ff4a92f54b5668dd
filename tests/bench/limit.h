/* SPDX-License-Identifier: MIT */
/* What limit.c, the loop, hands to floor.c, which calls a WSGI application. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define FIELDS_MAX 64
#define ANSWER_MAX 16384 /* of an application */

typedef struct Field {
    const char *name, *value;
    size_t n_name, n_value;
} Field;

/* A request head; points into the octets that were received. */
typedef struct Head {
    const char *data;
    size_t size, n_body, n_fields;
    Field fields[FIELDS_MAX]; /* floor alone */
    bool closing;
} Head;

/* app: MODULE:CALLABLE. Ends the program where that fails. */
void floor_start(const char *app, int port);

/* Calls the application with a fresh environ. answer: for ANSWER_MAX octets. Returns the size of the answer. */
size_t floor_answer(const Head *head, char *answer);
