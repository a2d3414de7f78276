// pack_test.c: the codec against golden bytes, random messages, and bytes built to hurt.
//
// tests/data/proto/TYPE.hex holds the bytes of each example of messages.c: they are the wire
// format, and a change of one byte there breaks every daemon that is not restarted at the same
// moment.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/rng.h"
#include "messages.h"
#include "proto/limits.h"
#include "proto/pack.h"

static void encode(const struct msg *m, struct buf *out)
{
    struct why why = {""};
    enum err e = pack_encode(m, out, &why);
    if (e != ERR_OK) {
        fail_msg("%s: %s", err_text(e), why.text);
    }
}

static void decode(const struct buf *b, struct msg *m)
{
    struct why why = {""};
    enum err e = pack_decode(b->data, b->len, m, &why);
    if (e != ERR_OK) {
        fail_msg("%s: %s", err_text(e), why.text);
    }
}

// Decoding a copy of exactly len bytes lets AddressSanitizer see the first byte read past the end.
static enum err decode_exact(const void *data, size_t len, struct msg *m, struct why *why)
{
    uint8_t *copy = malloc(len);
    assert_true(copy != NULL || len == 0);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    enum err e = pack_decode(copy, len, m, why);
    free(copy);
    return e;
}

static void refused(const void *data, size_t len, enum err expected, const char *says)
{
    struct msg m = {.type = MSG_NONE};
    struct why why = {""};
    enum err e = decode_exact(data, len, &m, &why);
    if (e != expected || strstr(why.text, says) == NULL) {
        fail_msg("got %s \"%s\", expected %s \"%s\"", err_text(e), why.text, err_text(expected),
                 says);
    }
    assert_int_equal(m.type, MSG_NONE);
    assert_null(m.arena);
}

static void cannot_encode(const struct msg *m, enum err expected, const char *says)
{
    struct buf b;
    struct why why = {""};
    buf_init(&b, 0);
    assert_int_equal(buf_append(&b, "kept", 4), ERR_OK);
    enum err e = pack_encode(m, &b, &why);
    if (e != expected || strstr(why.text, says) == NULL) {
        fail_msg("got %s \"%s\", expected %s \"%s\"", err_text(e), why.text, err_text(expected),
                 says);
    }
    assert_int_equal(b.len, 4);
    buf_fini(&b);
}

// ---- golden bytes ----
static size_t read_golden(enum msg_type t, uint8_t *out, size_t max)
{
    char path[128];
    snprintf(path, sizeof path, "tests/data/proto/%s.hex", msg_type_name(t));
    char *hex;
    size_t len, n = 0;
    struct why why = {""};
    if (fs_read_file(path, 1 << 16, &hex, &len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    for (char *p = hex; *p != 0;) {
        unsigned byte;
        int used = 0;
        if (sscanf(p, " %2x%n", &byte, &used) != 1) {
            break;
        }
        assert_true(n < max);
        out[n++] = (uint8_t)byte;
        p += used;
    }
    free(hex);
    return n;
}

static void every_example_has_its_golden_bytes(void **state)
{
    (void)state;
    for (int t = 1; t < MSG_TYPE_COUNT; t++) {
        struct msg m = messages_example((enum msg_type)t);
        struct buf b;
        buf_init(&b, 0);
        encode(&m, &b);
        uint8_t golden[4096];
        size_t n = read_golden((enum msg_type)t, golden, sizeof golden);
        if (n != b.len || memcmp(golden, b.data, n) != 0) {
            for (size_t i = 0; i < b.len; i++) {
                fprintf(stderr, "%02x%s", b.data[i], i % 32 == 31 ? "\n" : "");
            }
            fail_msg("%s encodes to other bytes than its golden file", msg_type_name(m.type));
        }
        buf_fini(&b);
    }
}

static void golden_bytes_decode_to_the_examples(void **state)
{
    (void)state;
    for (int t = 1; t < MSG_TYPE_COUNT; t++) {
        struct buf again;
        uint8_t golden[4096];
        size_t n = read_golden((enum msg_type)t, golden, sizeof golden);
        struct msg m;
        struct why why = {""};
        assert_int_equal(decode_exact(golden, n, &m, &why), ERR_OK);
        assert_int_equal(m.type, t);
        assert_int_equal(m.request_id, 7);
        buf_init(&again, 0);
        encode(&m, &again);
        assert_int_equal(again.len, n);
        assert_memory_equal(again.data, golden, n);
        buf_fini(&again);
        msg_free(&m);
    }
}

static void a_decoded_lease_reads_as_it_was_written(void **state)
{
    (void)state;
    struct msg sent = messages_example(MSG_GENERATE_WORK), m;
    struct buf b;
    buf_init(&b, 0);
    encode(&sent, &b);
    decode(&b, &m);
    buf_fini(&b);    // nothing in m may point into the bytes
    const struct msg_group *g = m.generate_work.groups;
    assert_int_equal(m.generate_work.n_groups, 1);
    assert_int_equal(g->group_id, 12);
    assert_int_equal(g->n_prompt, 4);
    assert_int_equal(g->prompt[3], 70000);
    assert_int_equal(g->n_samples, 3);
    assert_int_equal(g->sample_ids[2], 1099511627776);
    assert_int_equal(g->sampling.max_tokens, 64);
    assert_float_equal(g->sampling.top_p, 0.95f, 0);
    assert_float_equal(g->sampling.min_p, 0.05f, 0);
    assert_int_equal(g->lease_ms, 30000);
    assert_int_equal(m.generate_work.n_stop_ids, 2);
    assert_int_equal(m.generate_work.stop_ids[0], 2);
    assert_int_equal(m.generate_work.newest_version, 4);
    msg_free(&m);
}

static void decoded_text_keeps_all_bytes_and_ends_with_nul(void **state)
{
    (void)state;
    struct msg sent = messages_example(MSG_SCORE_WORK), m;
    struct buf b;
    buf_init(&b, 0);
    encode(&sent, &b);
    decode(&b, &m);
    const struct msg_score_job *j = m.score_work.jobs;
    assert_string_equal(j->prompt.data, "What is 6 * 7?");
    assert_string_equal(j->checks.data, "");
    assert_int_equal(j->response.len, 11);
    assert_memory_equal(j->response.data, "It is 42.\xff\0", 12);
    msg_free(&m);
    buf_fini(&b);
}

// ---- random messages ----
static void random_messages_survive_a_round_trip(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        for (int t = 1; t < MSG_TYPE_COUNT; t++) {
            struct msg sent = messages_random((enum msg_type)t, seed), got;
            struct buf a, b;
            buf_init(&a, 0);
            buf_init(&b, 0);
            encode(&sent, &a);
            decode(&a, &got);
            encode(&got, &b);
            assert_int_equal(got.request_id, sent.request_id);
            assert_int_equal(a.len, b.len);
            assert_memory_equal(a.data, b.data, a.len);
            msg_free(&got);
            msg_free(&sent);
            buf_fini(&a);
            buf_fini(&b);
        }
    }
}

// The actor's bits are compared with the learner's: the wire must not quiet a NaN or lose a zero's
// sign.
static void logprob_bits_are_preserved(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0x80000000, 0x7f800001, 0xffc12345, 0x00000001, 0xff800000};
    float logprobs[ARRAY_LEN(bits)];
    memcpy(logprobs, bits, sizeof bits);
    struct msg sent = messages_example(MSG_SUBMIT_SAMPLE), m;
    sent.submit_sample.tokens = bits;
    sent.submit_sample.logprobs = logprobs;
    sent.submit_sample.n_tokens = sent.submit_sample.n_logprobs = ARRAY_LEN(bits);
    struct buf b;
    buf_init(&b, 0);
    encode(&sent, &b);
    decode(&b, &m);
    assert_memory_equal(m.submit_sample.logprobs, bits, sizeof bits);
    msg_free(&m);
    buf_fini(&b);
}

static void every_truncation_of_every_message_is_refused(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        for (int t = 1; t < MSG_TYPE_COUNT; t++) {
            struct msg sent = seed == 0 ? messages_example((enum msg_type)t)
                                        : messages_random((enum msg_type)t, seed);
            struct buf b;
            buf_init(&b, 0);
            encode(&sent, &b);
            for (size_t len = 0; len < b.len; len += 1 + len / 300) {
                refused(b.data, len, ERR_CORRUPT, "");
            }
            refused(b.data, b.len - 1, ERR_CORRUPT, "");
            buf_fini(&b);
            msg_free(&sent);
        }
    }
}

// A flipped byte may still make a valid message; it must never make a crash or a leak.
static void flipped_bytes_are_decoded_or_refused(void **state)
{
    (void)state;
    struct rng r = rng_make(11, 0);
    for (int t = 1; t < MSG_TYPE_COUNT; t++) {
        struct msg sent = messages_example((enum msg_type)t), m;
        struct buf b;
        buf_init(&b, 0);
        encode(&sent, &b);
        for (size_t i = 0; i < b.len; i++) {
            uint8_t was = b.data[i];
            for (int k = 0; k < 8; k++) {
                b.data[i] = (uint8_t)rng_u32(&r);
                if (decode_exact(b.data, b.len, &m, NULL) == ERR_OK) {
                    msg_free(&m);
                }
            }
            b.data[i] = was;
        }
        buf_fini(&b);
    }
}

// ---- hostile and foreign bytes ----
#define BYTES(s) s, sizeof(s) - 1

static void five_bytes_cannot_claim_gigabytes(void **state)
{
    (void)state;
    // Alone, and where a field of a real message is expected.
    refused(BYTES("\xdf\xff\xff\xff\xff"), ERR_CORRUPT, "a map of length 4294967295");
    refused(BYTES("\xdd\xff\xff\xff\xff"), ERR_CORRUPT, "an array of length 4294967295");
    refused(BYTES("\xc6\xff\xff\xff\xff"), ERR_CORRUPT, "bytes of length 4294967295");
    refused(BYTES("\xdb\xff\xff\xff\xff"), ERR_CORRUPT, "text of length 4294967295");
    refused(BYTES("\xc9\xff\xff\xff\xff"), ERR_CORRUPT, "an extension of length 4294967296");
    refused(BYTES("\x85\0\x03\x01\x05\x02\x07\x03\xdd\xff\xff\xff\xff"), ERR_CORRUPT,
            "groups: an array of length 4294967295");
    refused(BYTES("\x85\0\x03\x01\x03\x02\x07\x03\x01\x04\xdb\x80\0\0\0"), ERR_CORRUPT,
            "FAULT: text: text of length 2147483648");
}

static void a_length_over_its_limit_is_refused_before_it_is_allocated(void **state)
{
    (void)state;
    // 300 groups claimed, with bytes enough behind them to make the claim believable.
    uint8_t b[1000] = "\x86\0\x03\x01\x05\x02\x07\x03\xdc\x01\x2c";
    refused(b, sizeof b, ERR_LIMIT, "GENERATE_WORK: groups: 300 elements, at most 256");
    uint8_t fault[3000] = "\x85\0\x03\x01\x03\x02\x07\x03\x01\x04\xda\x04\x01";
    refused(fault, sizeof fault, ERR_LIMIT, "FAULT: text: 1025 bytes, at most 1024");
    uint8_t *huge = calloc(1, LIMIT_MESSAGE_BYTES + 1);
    assert_non_null(huge);
    refused(huge, LIMIT_MESSAGE_BYTES + 1, ERR_LIMIT, "6291457 bytes");
    free(huge);
}

static void another_wire_version_is_named_whatever_follows(void **state)
{
    (void)state;
    refused(BYTES("\x85\0\x04\x01\x63\x02\xc0\xc1\xc1\xc1\xc1"), ERR_VERSION,
            "wire version 4, this build speaks 3");
    refused(BYTES("\x83\0\x00\x01\x10\x02\x07"), ERR_VERSION, "wire version 0");
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    refused("", 0, ERR_CORRUPT, "ends too early");
    refused(BYTES("GET / HTTP/1.1\r\n"), ERR_CORRUPT, "is a non-negative integer, expected a map");
    refused(BYTES("\x80"), ERR_CORRUPT, "no header");
    refused(BYTES("\xc1"), ERR_CORRUPT, "0xc1");
    refused(BYTES("\x84\0\x03\x01\x13\x02\x07\x03\x05"), ERR_CORRUPT, "type 19 is unknown");
    refused(BYTES("\x84\0\x03\x01\x00\x02\x07\x03\x05"), ERR_CORRUPT, "type 0 is unknown");
    refused(BYTES("\x84\x01\x10\x00\x01\x02\x07\x03\x05"), ERR_CORRUPT,
            "wire version: key 1 where 0 was expected");
}

// VERSION {newest_version 5}.
static const char version5[] = "\x84\0\x03\x01\x10\x02\x07\x03\x05";

static void wrong_types_missing_fields_and_leftovers_are_named(void **state)
{
    (void)state;
    struct msg m;
    assert_int_equal(decode_exact(BYTES(version5), &m, NULL), ERR_OK);
    assert_int_equal(m.version.newest_version, 5);
    msg_free(&m);
    refused(BYTES("\x84\0\x03\x01\x10\x02\x07\x03\xa1x"), ERR_CORRUPT,
            "VERSION: newest_version: is text, expected a non-negative integer");
    refused(BYTES("\x84\0\x03\x01\x10\x02\x07\x03\xff"), ERR_CORRUPT, "signed");
    refused(BYTES("\x83\0\x03\x01\x10\x02\x07"), ERR_CORRUPT, "VERSION: newest_version: missing");
    refused(BYTES("\x84\0\x03\x01\x10\x02\x07\x04\x05"), ERR_CORRUPT,
            "VERSION: newest_version: missing");
    refused(BYTES("\x84\0\x03\x01\x10\x02\x07\x03\x05\xc0"), ERR_CORRUPT,
            "VERSION: 1 bytes left over");
}

// A second key 3 could replace a value that was already checked.
static void keys_must_ascend(void **state)
{
    (void)state;
    refused(BYTES("\x85\0\x03\x01\x10\x02\x07\x03\x05\x03\x06"), ERR_CORRUPT,
            "key 3 after key 3: keys must ascend");
    refused(BYTES("\x85\0\x03\x01\x10\x02\x07\x03\x05\x02\x06"), ERR_CORRUPT, "keys must ascend");
}

// A later minor version adds keys; today's peers must read past them.
static void unknown_keys_are_skipped(void **state)
{
    (void)state;
    struct msg m;
    static const char later[] = "\x87\0\x03\x01\x10\x02\x07\x03\x05"
                                "\x04\x82\xa1k\x93\x01\xc2\xcb\0\0\0\0\0\0\0\0\x02\xc0"
                                "\x05\xd6\x01\x01\x02\x03\x04\xcd\x01\0\xc4\x02zz";
    assert_int_equal(decode_exact(BYTES(later), &m, NULL), ERR_OK);
    assert_int_equal(m.version.newest_version, 5);
    msg_free(&m);
}

static void depth_and_key_count_are_bounded(void **state)
{
    (void)state;
    struct msg m;
    // The message is depth 1: five more are read, a sixth is not.
    static const char five[] = "\x85\0\x03\x01\x10\x02\x07\x03\x05\x04\x91\x91\x91\x91\x91\xc0";
    static const char six[] = "\x85\0\x03\x01\x10\x02\x07\x03\x05\x04\x91\x91\x91\x91\x91\x91\xc0";
    assert_int_equal(decode_exact(BYTES(five), &m, NULL), ERR_OK);
    msg_free(&m);
    refused(BYTES(six), ERR_LIMIT, "nested deeper than 6");
    uint8_t deep[100000];
    memcpy(deep, six, 10);
    memset(deep + 10, 0x91, sizeof deep - 10);
    refused(deep, sizeof deep, ERR_LIMIT, "nested deeper than 6");
    uint8_t wide[200] = "\xde\0\x41\0\x03\x01\x10\x02\x07\x03\x05";
    refused(wide, sizeof wide, ERR_LIMIT, "a map of 65 keys, at most 64");
}

// ---- values ----
static void encoding_refuses_what_the_peer_would_refuse(void **state)
{
    (void)state;
    static char big[LIMIT_TEXT_BYTES + 1];
    struct msg m = messages_example(MSG_SUBMIT_VERDICT);
    m.submit_verdict.cause = (struct msg_text){big, LIMIT_NAME_BYTES + 1};
    memset(big, 'x', sizeof big);
    cannot_encode(&m, ERR_LIMIT, "SUBMIT_VERDICT: cause: 129 bytes, at most 128");
    m = messages_example(MSG_SCORE_WORK);
    struct msg_score_job jobs[4] = {m.score_work.jobs[0]};
    jobs[0].response = (struct msg_text){big, sizeof big};
    m.score_work.jobs = jobs;
    cannot_encode(&m, ERR_LIMIT, "SCORE_WORK: jobs[0]: response: 2097153 bytes, at most 2097152");
    for (size_t i = 0; i < 4; i++) {    // each within its limit, together over the message's
        jobs[i] = messages_example(MSG_SCORE_WORK).score_work.jobs[0];
        jobs[i].response = (struct msg_text){big, LIMIT_TEXT_BYTES};
    }
    m.score_work.n_jobs = 4;
    cannot_encode(&m, ERR_LIMIT, "bytes, at most 6291456");
    m = (struct msg){.type = MSG_NONE};
    cannot_encode(&m, ERR_INVALID, "type 0 is no message");
}

static void sampling_parameters_outside_their_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct msg_sampling s;
        const char *says;
    } cases[] = {
        {{0, 1, 1, 0, 0}, "groups[0]: sampling: max_tokens: 0 is not in 1..131072"},
        {{LIMIT_COMPLETION_TOKENS + 1, 1, 1, 0, 0}, "max_tokens: 131073 is not in 1..131072"},
        {{1, -0.5f, 1, 0, 0}, "temperature: -0.5, expected a finite number of at least 0"},
        {{1, INFINITY, 1, 0, 0}, "temperature: inf"},
        {{1, NAN, 1, 0, 0}, "temperature: "},
        {{1, 1, 0, 0, 0}, "top_p: 0, expected above 0 and at most 1"},
        {{1, 1, 1.5f, 0, 0}, "top_p: 1.5"},
        {{1, 1, NAN, 0, 0}, "top_p: "},
        {{1, 1, 1, 0, -0.1f}, "min_p: -0.1, expected in 0..1"},
        {{1, 1, 1, 0, 1.5f}, "min_p: 1.5"},
        {{1, 1, 1, 0, NAN}, "min_p: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct msg m = messages_example(MSG_GENERATE_WORK);
        struct msg_group g = m.generate_work.groups[0];
        g.sampling = cases[i].s;
        m.generate_work.groups = &g;
        cannot_encode(&m, ERR_INVALID, cases[i].says);
    }
}

static void a_sample_has_as_many_logprobs_as_tokens_and_segments_that_ascend(void **state)
{
    (void)state;
    struct msg m = messages_example(MSG_SUBMIT_SAMPLE);
    m.submit_sample.n_logprobs--;
    cannot_encode(&m, ERR_INVALID, "logprobs: 2 of them for 3 tokens");
    m = messages_example(MSG_SUBMIT_SAMPLE);
    m.submit_sample.segments = (const struct msg_segment[]){{3, 5}, {4, 5}};
    cannot_encode(&m, ERR_INVALID, "segments[1]: end 5 does not follow 5");
    m = messages_example(MSG_SUBMIT_SAMPLE);
    m.submit_sample.n_tokens = m.submit_sample.n_logprobs = 0;
    cannot_encode(&m, ERR_INVALID, "tokens: empty");
    m = messages_example(MSG_SUBMIT_SAMPLE);
    m.submit_sample.finish = 3;
    cannot_encode(&m, ERR_INVALID, "finish: 3 is not in 1..2");
}

// Fail closed: a verdict that contradicts itself must not become a reward.
static void a_verdict_agrees_with_its_outcome(void **state)
{
    (void)state;
    struct msg m = messages_example(MSG_SUBMIT_VERDICT);
    m.submit_verdict.outcome = MSG_OUTCOME_UNSCORED;
    cannot_encode(&m, ERR_INVALID, "cause: empty with outcome unscored");
    m.submit_verdict.outcome = MSG_OUTCOME_ZERO;
    cannot_encode(&m, ERR_INVALID, "reward: 0.5 with outcome zero");
    m.submit_verdict.outcome = MSG_OUTCOME_SCORE;
    m.submit_verdict.reward = NAN;
    cannot_encode(&m, ERR_INVALID, "reward: ");
    m = messages_example(MSG_SUBMIT_VERDICT);
    struct msg_component c = m.submit_verdict.components[0];
    c.value = 1.5;
    m.submit_verdict.components = &c;
    cannot_encode(&m, ERR_INVALID, "components[0]: value: 1.5, expected in 0..1");
}

static void other_values_outside_their_range_are_refused(void **state)
{
    (void)state;
    struct msg m = messages_example(MSG_LEASE_GENERATE);
    m.lease_generate.max_samples = 0;
    cannot_encode(&m, ERR_INVALID, "max_samples: 0 is not in 1..4294967295");
    m = messages_example(MSG_HELLO);
    m.hello.role = 3;
    cannot_encode(&m, ERR_INVALID, "role: 3 is not in 1..2");
    m = messages_example(MSG_HELLO);
    m.hello.name = (struct msg_text){"a\0b", 3};
    cannot_encode(&m, ERR_INVALID, "name: has a NUL byte");
    m = messages_example(MSG_WEIGHTS_CHUNK);
    m.weights_chunk.offset = 5;
    cannot_encode(&m, ERR_INVALID, "bytes: 6 at offset 5 pass the end at 10");
    m.weights_chunk.offset = UINT64_MAX;
    cannot_encode(&m, ERR_INVALID, "pass the end at 10");
}

// The decoder holds the same table: a peer that does not check its values is stopped here.
static void decoding_checks_values_too(void **state)
{
    (void)state;
    refused(BYTES("\x85\0\x03\x01\x03\x02\x07\x03\x00\x04\xa0"), ERR_INVALID,
            "FAULT: code: 0 is not in 1..16");
    refused(BYTES("\x85\0\x03\x01\x03\x02\x07\x03\xce\xff\xff\xff\xff\x04\xa0"), ERR_INVALID,
            "code: 4294967295");
    refused(BYTES("\x85\0\x03\x01\x03\x02\x07\x03\xcf\0\0\0\x01\0\0\0\x01\x04\xa0"), ERR_INVALID,
            "code: 4294967297");
    refused(BYTES("\x85\0\x03\x01\x03\x02\x07\x03\x01\x04\xa1\0"), ERR_INVALID,
            "text: has a NUL byte");
    refused(BYTES("\x86\0\x03\x01\x0c\x02\x07\x03\x04\x04\xc2\x05\xc4\x09"
                  "123456789"),
            ERR_CORRUPT, "HEARTBEAT_REPLY: abandon: 9 bytes are no array of 8-byte numbers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_has_its_golden_bytes),
        cmocka_unit_test(golden_bytes_decode_to_the_examples),
        cmocka_unit_test(a_decoded_lease_reads_as_it_was_written),
        cmocka_unit_test(decoded_text_keeps_all_bytes_and_ends_with_nul),
        cmocka_unit_test(random_messages_survive_a_round_trip),
        cmocka_unit_test(logprob_bits_are_preserved),
        cmocka_unit_test(every_truncation_of_every_message_is_refused),
        cmocka_unit_test(flipped_bytes_are_decoded_or_refused),
        cmocka_unit_test(five_bytes_cannot_claim_gigabytes),
        cmocka_unit_test(a_length_over_its_limit_is_refused_before_it_is_allocated),
        cmocka_unit_test(another_wire_version_is_named_whatever_follows),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(wrong_types_missing_fields_and_leftovers_are_named),
        cmocka_unit_test(keys_must_ascend),
        cmocka_unit_test(unknown_keys_are_skipped),
        cmocka_unit_test(depth_and_key_count_are_bounded),
        cmocka_unit_test(encoding_refuses_what_the_peer_would_refuse),
        cmocka_unit_test(sampling_parameters_outside_their_range_are_refused),
        cmocka_unit_test(a_sample_has_as_many_logprobs_as_tokens_and_segments_that_ascend),
        cmocka_unit_test(a_verdict_agrees_with_its_outcome),
        cmocka_unit_test(other_values_outside_their_range_are_refused),
        cmocka_unit_test(decoding_checks_values_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
