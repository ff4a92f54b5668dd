/* SPDX-License-Identifier: MIT */
/* What a test can ask of no-python.c. */
#pragma once

#include <stddef.h>

/* Octets of body_memory_new() that were not given back. */
size_t lent_octets(void);
