/* SPDX-License-Identifier: MIT */
/* pyvenv.cfg: which Python a virtualenv was made for. */
#pragma once

#define PYVENV_VERSION_MAX 16
#define PYVENV_E_NO_VERSION 1 /* the file names none */

/* The minor version ("3.11") in the text of a pyvenv.cfg, which both venv ("version") and virtualenv
 * ("version_info") write. 0 or PYVENV_E_NO_VERSION. */
int pyvenv_parse(const char *text, char ret_version[static PYVENV_VERSION_MAX]);

/* The same of the virtualenv in that directory. 0, PYVENV_E_NO_VERSION, or negative errno: the file can't be
 * read. */
int pyvenv_read(const char *virtualenv, char ret_version[static PYVENV_VERSION_MAX]);
