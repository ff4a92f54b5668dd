/* SPDX-License-Identifier: MIT */
/* The names of requests in the log: whose are taken, and which are made. */
#include "worker/request-id.h"

#include "tap.h"

#include <string.h>

static Loop loop = {.first_request = 0xfffffffffffffffe};
static Exchange exchange = {.serial = 1};
static Connection connection = {.exchange = &exchange, .is_from_proxy = true};

static const char *id_with(const char *value)
{
    static char to[REQUEST_ID_FIELD_SIZE];
    Field field = {.name = SPAN_LITERAL("X-Request-Id"), .value = span_of(value)};

    exchange.request.fields = &field;
    exchange.request.n_fields = 1;
    request_id_field(&loop, &connection, to);
    exchange.request.n_fields = 0;
    return to;
}

static void test_own(void)
{
    char to[REQUEST_ID_FIELD_SIZE];

    is_string(request_id_field(&loop, &connection, to), "REQUEST_ID=ffffffffffffffff");
    exchange.serial++;
    is_string(request_id_field(&loop, &connection, to), "REQUEST_ID=0000000000000000");
    is_string(request_id_field(&loop, &connection, to), "REQUEST_ID=0000000000000000");
}

static void test_of_a_proxy(void)
{
    char long_one[REQUEST_ID_MAX + 2] = "";

    memset(long_one, 'a', REQUEST_ID_MAX);
    is_string(id_with("f058ebd6-02f7-4d3f:A/b+c=@_."), "REQUEST_ID=f058ebd6-02f7-4d3f:A/b+c=@_.");
    ok(strlen(id_with(long_one)) == strlen(REQUEST_ID_KEY) + REQUEST_ID_MAX);

    long_one[REQUEST_ID_MAX] = 'a';
    is_string(id_with(long_one), "REQUEST_ID=0000000000000000");
    is_string(id_with(""), "REQUEST_ID=0000000000000000");
    is_string(id_with("a b"), "REQUEST_ID=0000000000000000");
    is_string(id_with("a\nPRIORITY=0"), "REQUEST_ID=0000000000000000");
    is_string(id_with("\xc3\xa9"), "REQUEST_ID=0000000000000000");
}

static void test_of_a_stranger(void)
{
    connection.is_from_proxy = false;
    is_string(id_with("mine"), "REQUEST_ID=0000000000000000");
}

int main(void)
{
    test_own();
    test_of_a_proxy();
    test_of_a_stranger();
    return tap_done();
}
