/* SPDX-License-Identifier: MIT */
/* cgunicorn wait: for ExecStop= and ExecStopPost= of the unit. When the supervisor has died, systemd would
 * kill its workers at once (KillMode=mixed); they are to finish what they have begun. */
#pragma once

int wait_main(int argc, char **argv);
