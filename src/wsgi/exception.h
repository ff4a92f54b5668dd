/* SPDX-License-Identifier: MIT */
/* The current Python exception as text for the log. */
#pragma once

/* Both take the current exception and return UTF-8 text without a newline at its end, which the caller frees;
 * NULL without memory. */

/* With the traceback, as the interpreter prints it. */
char *exception_take_text(void);

/* "WHAT: message"; where Python code had a part in it, "WHAT: Type: message" and the traceback in the lines
 * below. what: as for printf(3). */
__attribute__((__format__(__printf__, 1, 2))) char *exception_take_report(const char *what, ...);
