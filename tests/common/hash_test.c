// hash_test.c: the hash is the published XXH3-128, and its hex form has one spelling.

#include "tests/common/check.h"

#include "common/hash.h"

static void the_empty_text_has_the_published_hash(void **state)
{
    (void)state;
    char hex[HASH_HEX_LEN + 1];
    hash_hex(hash_bytes("", 0), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

static void pieces_hash_like_the_whole(void **state)
{
    (void)state;
    uint8_t data[3000];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 37 >> 3);
    }
    for (size_t cut = 0; cut <= sizeof data; cut += 77) {
        struct hash_state *s = hash_create();
        assert_non_null(s);
        hash_update(s, data, cut);
        hash_update(s, data + cut, sizeof data - cut);
        assert_true(hash_equal(hash_final(s), hash_bytes(data, sizeof data)));
        hash_destroy(s);
    }
    hash_destroy(NULL);
}

static void one_flipped_bit_changes_the_hash(void **state)
{
    (void)state;
    uint8_t data[64] = {0};
    struct hash128 before = hash_bytes(data, sizeof data);
    data[40] ^= 4;
    assert_false(hash_equal(before, hash_bytes(data, sizeof data)));
}

static void only_32_lower_case_digits_are_a_hash(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "9",
        "99aa06d3014798d86001c324468d497",
        "99aa06d3014798d86001c324468d497f0",
        "99AA06d3014798d86001c324468d497f",
        "99aa06d3014798d86001c324468d497g",
    };
    struct hash128 h = hash_bytes("x", 1), back = h;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(hash_from_hex(bad[i], &back));
        assert_true(hash_equal(back, h));
    }
    char hex[HASH_HEX_LEN + 1];
    hash_hex(h, hex);
    memset(&back, 0, sizeof back);
    assert_true(hash_from_hex(hex, &back));
    assert_true(hash_equal(back, h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_empty_text_has_the_published_hash),
        cmocka_unit_test(pieces_hash_like_the_whole),
        cmocka_unit_test(one_flipped_bit_changes_the_hash),
        cmocka_unit_test(only_32_lower_case_digits_are_a_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
