/* SPDX-License-Identifier: MIT */
/* `cgunicorn check`: would this site start? */
#pragma once

/* argv[0] is the verb. Returns the exit status. */
int check_main(int argc, char **argv);
