/* SPDX-License-Identifier: MIT */
/* Memory pressure, as the service manager lets it be known: $MEMORY_PRESSURE_WATCH, set by systemd 254 and
 * newer (https://systemd.io/MEMORY_PRESSURE). */
#pragma once

#include <systemd/sd-event.h>

typedef struct Pressure Pressure;

/* What follows from it. Called every few seconds at most. */
typedef void (*PressureHandler)(void *userdata);

/* *ret is NULL where it is not to be watched. 0 or negative errno. */
int pressure_new(sd_event *event, PressureHandler handler, void *userdata, Pressure **ret);
Pressure *pressure_free(Pressure *p);
