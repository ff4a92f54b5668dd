/* SPDX-License-Identifier: MIT */
/* Unit tests of base/strv. */
#include "base/strv.h"

#include "tap.h"

int main(void)
{
    _cleanup_strv_ char **v = NULL;

    is_int(strv_length(NULL), 0);
    ok(strv_free(NULL) == NULL);
    is_int(strv_append(&v, "one and more", 3), 0);
    is_int(strv_append(&v, NULL, 0), 0);
    is_int(strv_append(&v, "three", 5), 0);
    is_int(strv_length(v), 3);
    is_string(v[0], "one");
    is_string(v[1], "");
    is_string(v[2], "three");
    ok(v[3] == NULL);
    for (int i = 0; i < 100; i++)
        strv_append(&v, "x", 1);
    is_int(strv_length(v), 103);
    v = strv_free(v);
    ok(v == NULL);
    return tap_done();
}
