/* SPDX-License-Identifier: MIT */
#include "http/status.h"

#include "tap.h"

int main(void)
{
    is_string(status_reason(200), "OK");
    is_string(status_reason(404), "Not Found");
    is_string(status_reason(413), "Content Too Large");
    is_string(status_reason(511), "Network Authentication Required");
    is_string(status_reason(0), "Unknown");
    is_string(status_reason(299), "Unknown");
    is_string(status_reason(512), "Unknown");
    is_string(status_reason(4294967295U), "Unknown");
    return tap_done();
}
