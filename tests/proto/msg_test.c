// msg_test.c: claims about messages apart from their encoding.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "messages.h"

// Operators read these names in logs; two types under one name would mislead them.
static void every_type_has_its_own_name(void **state)
{
    (void)state;
    for (int a = 0; a < MSG_TYPE_COUNT; a++) {
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(msg_type_name((enum msg_type)a),
                                    msg_type_name((enum msg_type)b));
        }
    }
    assert_string_equal(msg_type_name(MSG_SUBMIT_SAMPLE), "SUBMIT_SAMPLE");
    assert_string_equal(msg_type_name(MSG_TYPE_COUNT), "UNKNOWN");
}

// A restarted process must never be taken for the one that died.
static void incarnations_do_not_repeat(void **state)
{
    (void)state;
    struct msg_incarnation a = msg_incarnation_random(), b = msg_incarnation_random();
    assert_true(msg_incarnation_equal(a, a));
    assert_false(msg_incarnation_equal(a, b));
}

// A repeat from another process, or of another attempt, with the same content is a duplicate, not a
// conflict.
static void the_payload_hash_ignores_owner_and_attempt(void **state)
{
    (void)state;
    struct msg m = messages_example(MSG_SUBMIT_SAMPLE);
    struct hash128 h = msg_sample_hash(&m.submit_sample);
    m.submit_sample.incarnation = msg_incarnation_random();
    m.submit_sample.attempt++;
    m.submit_sample.payload = (struct hash128){{0}};
    assert_true(hash_equal(h, msg_sample_hash(&m.submit_sample)));
}

static void the_payload_hash_sees_every_part_of_the_content(void **state)
{
    (void)state;
    const struct msg m = messages_example(MSG_SUBMIT_SAMPLE);
    const struct hash128 h = msg_sample_hash(&m.submit_sample);
    const uint32_t tokens[] = {5, 7, 2};
    const float logprobs[] = {-0.5f, -1.25f,
                              0.0f};    // differs from the example in a sign bit only
    const struct msg_segment versions[] = {{3, 5}, {5, 6}}, ends[] = {{3, 4}, {4, 6}};
    struct msg_submit_sample s[7];
    for (size_t i = 0; i < ARRAY_LEN(s); i++) {
        s[i] = m.submit_sample;
    }
    s[0].sample_id++;
    s[1].tokens = tokens;
    s[2].logprobs = logprobs;
    s[3].segments = versions;
    s[4].segments = ends;
    s[5].finish = MSG_FINISH_LENGTH;
    s[6].n_segments = 1;
    for (size_t i = 0; i < ARRAY_LEN(s); i++) {
        assert_false(hash_equal(h, msg_sample_hash(&s[i])));
    }
}

// The ledger keeps these hashes for the life of a run: their definition is a file format.
static void the_payload_hash_is_what_it_was(void **state)
{
    (void)state;
    struct msg m = messages_example(MSG_SUBMIT_SAMPLE);
    char hex[HASH_HEX_LEN + 1];
    hash_hex(msg_sample_hash(&m.submit_sample), hex);
    assert_string_equal(hex, "c4140378ea1c2e8c6a4b84f4e288f066");
}

static void many_segments_are_hashed_in_their_order(void **state)
{
    (void)state;
    struct msg_segment s[200];
    for (uint32_t i = 0; i < ARRAY_LEN(s); i++) {
        s[i] = (struct msg_segment){i / 3, i + 1};
    }
    struct msg m = messages_example(MSG_SUBMIT_SAMPLE);
    m.submit_sample.segments = s;
    m.submit_sample.n_segments = ARRAY_LEN(s);
    struct hash128 h = msg_sample_hash(&m.submit_sample);
    struct msg_segment swap = s[199];
    s[199] = s[7];
    s[7] = swap;
    assert_false(hash_equal(h, msg_sample_hash(&m.submit_sample)));
}

static void an_absent_text_is_empty_and_freeing_nothing_is_fine(void **state)
{
    (void)state;
    assert_int_equal(msg_text_of(NULL).len, 0);
    assert_non_null(msg_text_of(NULL).data);
    assert_int_equal(msg_text_of("abc").len, 3);
    struct msg m = {.type = MSG_VERSION};
    msg_free(&m);
    assert_int_equal(m.type, MSG_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_own_name),
        cmocka_unit_test(incarnations_do_not_repeat),
        cmocka_unit_test(the_payload_hash_ignores_owner_and_attempt),
        cmocka_unit_test(the_payload_hash_sees_every_part_of_the_content),
        cmocka_unit_test(the_payload_hash_is_what_it_was),
        cmocka_unit_test(many_segments_are_hashed_in_their_order),
        cmocka_unit_test(an_absent_text_is_empty_and_freeing_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
