// bus_address_test.c: the form of addresses, which ones are local, and how the wait endpoint is
// found.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/bus.h"
#include "proto/bus_address.h"

static void good_addresses_are_read_and_written_back(void **state)
{
    (void)state;
    static const char *const good[] = {
        "ipc:///run/caravan/bus", "ipc://bus",       "tcp://127.0.0.1:0", "tcp://0.0.0.0:65534",
        "tcp://[::1]:7000",       "tcp://host-1:80", "tcp://a.b.org:443",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct bus_address a;
        char text[BUS_ADDRESS_SIZE];
        assert_int_equal(bus_address_parse(good[i], &a, NULL), ERR_OK);
        bus_address_format(&a, text);
        assert_string_equal(text, good[i]);
        assert_int_equal(bus_address_check(good[i], NULL), ERR_OK);
    }
}

static void bad_addresses_are_refused_with_their_part(void **state)
{
    (void)state;
    static const struct {
        const char *address, *says;
    } bad[] = {
        {"", "expected ipc://PATH or tcp://HOST:PORT"},
        {"/run/bus", "expected ipc://PATH"},
        {"udp://127.0.0.1:1", "expected ipc://PATH"},
        {"ipc://", "no path"},
        {"tcp://127.0.0.1", "no port"},
        {"tcp://:7000", "'' is no host name"},
        {"tcp://127.0.0.1:", "port '' is not in 0..65534"},
        {"tcp://127.0.0.1:65535", "port '65535' is not in 0..65534"},
        {"tcp://127.0.0.1:070", "port '070'"},
        {"tcp://127.0.0.1:+70", "port '+70'"},
        {"tcp://127.0.0.1:70x", "port '70x'"},
        {"tcp://127.0.0.1:99999999999", "port '99999999999'"},
        {"tcp://::1:7000", "'::1' is no host name"},
        {"tcp://[::1:7000", "'[::1' is no host name"},
        {"tcp://[zz]:7000", "'[zz]' is no host name"},
        {"tcp://eth0;host:7000", "no host name"},
        {"tcp://a b:7000", "no host name"},
        {"tcp://a/b:7000", "no host name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct why why = {""};
        assert_int_equal(bus_address_check(bad[i].address, &why), ERR_INVALID);
        if (strstr(why.text, bad[i].says) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", why.text, bad[i].says);
        }
    }
}

// The wait address must fit its field of WELCOME, and the kernel's 108 bytes.
static void addresses_are_bounded(void **state)
{
    (void)state;
    char text[400] = "ipc://";
    memset(text + 6, 'p', 102);
    struct bus_address a;
    assert_int_equal(bus_address_parse(text, &a, NULL), ERR_OK);
    a = bus_address_neighbour(&a);
    assert_int_equal(strlen(a.host), 107);
    text[108] = 'p';
    assert_int_equal(bus_address_check(text, NULL), ERR_LIMIT);
    memset(text, 'h', sizeof text - 1);
    memcpy(text, "tcp://", 6);
    memcpy(text + 300, ":80", 4);
    assert_int_equal(bus_address_check(text, NULL), ERR_LIMIT);
}

// Everything that is not local needs a token: a wrong yes here opens the learner to the network.
static void only_ipc_and_loopback_are_local(void **state)
{
    (void)state;
    assert_true(bus_address_is_local("ipc:///run/bus"));
    assert_true(bus_address_is_local("tcp://127.0.0.1:1"));
    assert_true(bus_address_is_local("tcp://127.9.9.9:1"));
    assert_true(bus_address_is_local("tcp://localhost:1"));
    assert_true(bus_address_is_local("tcp://[::1]:1"));
    assert_false(bus_address_is_local("tcp://0.0.0.0:1"));
    assert_false(bus_address_is_local("tcp://[::]:1"));
    assert_false(bus_address_is_local("tcp://10.0.0.1:1"));
    assert_false(bus_address_is_local("tcp://127.example.org:1"));
    assert_false(bus_address_is_local("tcp://localhost.example.org:1"));
    assert_false(bus_address_is_local("nonsense"));
}

static void the_wait_endpoint_is_the_neighbour(void **state)
{
    (void)state;
    struct bus_address a;
    char text[BUS_ADDRESS_SIZE];
    assert_int_equal(bus_address_parse("tcp://[::1]:7000", &a, NULL), ERR_OK);
    a = bus_address_neighbour(&a);
    bus_address_format(&a, text);
    assert_string_equal(text, "tcp://[::1]:7001");
    assert_int_equal(bus_address_parse("ipc://run/bus", &a, NULL), ERR_OK);
    a = bus_address_neighbour(&a);
    bus_address_format(&a, text);
    assert_string_equal(text, "ipc://run/bus.wait");
}

// What the learner binds is not always what a client elsewhere can dial.
static void a_wait_address_is_read_in_the_light_of_the_do_address(void **state)
{
    (void)state;
    static const struct {
        const char *wait, *to_do, *reached;
    } cases[] = {
        {"tcp://0.0.0.0:7001", "tcp://hub.example.org:7000", "tcp://hub.example.org:7001"},
        {"tcp://[::]:7001", "tcp://[fe80::1]:7000", "tcp://[fe80::1]:7001"},
        {"tcp://10.0.0.5:7001", "tcp://hub:7000", "tcp://10.0.0.5:7001"},
        {"ipc://runs/x/bus.wait", "ipc:///home/me/runs/x/bus", "ipc:///home/me/runs/x/bus.wait"},
        {"ipc://bus.wait", "ipc://runs/x/bus", "ipc://runs/x/bus.wait"},
        {"ipc://bus.wait", "ipc://bus", "ipc://bus.wait"},
        {"ipc:///abs/bus.wait", "ipc://runs/x/bus", "ipc:///abs/bus.wait"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bus_address wait, to_do;
        char text[BUS_ADDRESS_SIZE];
        assert_int_equal(bus_address_parse(cases[i].wait, &wait, NULL), ERR_OK);
        assert_int_equal(bus_address_parse(cases[i].to_do, &to_do, NULL), ERR_OK);
        wait = bus_address_reach(&wait, &to_do);
        bus_address_format(&wait, text);
        assert_string_equal(text, cases[i].reached);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses_are_read_and_written_back),
        cmocka_unit_test(bad_addresses_are_refused_with_their_part),
        cmocka_unit_test(addresses_are_bounded),
        cmocka_unit_test(only_ipc_and_loopback_are_local),
        cmocka_unit_test(the_wait_endpoint_is_the_neighbour),
        cmocka_unit_test(a_wait_address_is_read_in_the_light_of_the_do_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
