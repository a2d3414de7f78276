// registry_fuzz.c: every row of the registry, with arguments made for it and any text.
//
// checks_fuzz.c spends its time on the reading of requests; here the request is always well-formed
// and mostly well-typed, so that the functions behind the rows are reached. The input chooses the
// row, then a value for each argument (one in sixteen of the wrong type or missing), and what is
// left is the response. A verdict must be coherent, and whatever holds strictly holds loosely.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "verifier/registry.h"
#include "verifier/score.h"

#define INPUT_MAX 1024    // a pattern of an argument may take its step limit at every character
#define TEXT_MAX 48       // of an argument
#define LIST_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t next(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

static json_t *owned(json_t *v)
{
    CHECK(v);
    return v;
}

// A length byte and as many bytes; what is no UTF-8 is read as Latin-1.
static json_t *make_text(struct input *in)
{
    char text[TEXT_MAX * 2];
    size_t n = next(in) % TEXT_MAX, len = 0;
    n = n < in->left ? n : in->left;
    json_t *v = json_stringn((const char *)in->at, n);
    for (size_t i = 0; i < n; i++) {
        uint8_t c = next(in);
        if (c >= 0x80) {
            text[len++] = (char)(0xc0 | c >> 6);
            c = 0x80 | (c & 0x3f);
        }
        text[len++] = (char)c;
    }
    return v ? v : owned(json_stringn(text, len));
}

static json_t *make_number(struct input *in)
{
    static const double numbers[] = {0, 1, 2, 3, 4, 5, 7, 12, 50, 100, 1e15, 1e16, -1, 1.5, 0.25};
    uint8_t c = next(in);
    double v = numbers[c % ARRAY_LEN(numbers)];
    bool whole = v >= -1e16 && v <= 1e16 && (double)(json_int_t)v == v;
    return owned(whole && c < 128 ? json_integer((json_int_t)v) : json_real(v));
}

static json_t *make_list(struct input *in)
{
    json_t *list = owned(json_array());
    for (size_t n = next(in) % (LIST_MAX + 1); n > 0; n--) {
        CHECK(json_array_append_new(list, make_text(in)) == 0);
    }
    return list;
}

static json_t *make_value(struct input *in, enum check_arg_type type)
{
    static const char *const relations[] = {"less than", "at least", "around", "at most"};
    switch (type) {
    case CHECK_ARG_INT:
    case CHECK_ARG_NUMBER:
        return make_number(in);
    case CHECK_ARG_BOOL:
        return json_boolean(next(in) & 1);
    case CHECK_ARG_STR:
        return next(in) % 4 ? make_text(in)
                            : owned(json_string(relations[next(in) % ARRAY_LEN(relations)]));
    case CHECK_ARG_STR_LIST:
        return make_list(in);
    case CHECK_ARG_RELATION:
        return owned(json_string(relations[next(in) % 2]));
    case CHECK_ARG_END:
        break;
    }
    return owned(json_object());
}

static void add_args(struct input *in, const struct check_row *row, json_t *kwargs)
{
    for (size_t i = 0; row->args[i].type != CHECK_ARG_END; i++) {
        uint8_t how = next(in);
        if (how % 32 == 31) {
            continue;
        }
        enum check_arg_type type = how % 32 == 30 ? how / 32 % 7 : row->args[i].type;
        CHECK(json_object_set_new(kwargs, row->args[i].name, make_value(in, type)) == 0);
    }
}

static const struct check_row *choose(struct input *in)
{
    size_t high = next(in);
    return registry_at((high << 8 | next(in)) % registry_count());
}

static char *dump(json_t *v)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY);
    CHECK(text);
    json_decref(v);
    return text;
}

// The label of a suite: one function, or up to three instructions.
static json_t *make_label(struct input *in)
{
    const struct check_row *row = choose(in);
    json_t *label = owned(json_object());
    if (row->kind == CHECK_FUNCTION) {
        CHECK(json_object_set_new(label, "func_name", json_string(row->id)) == 0);
        add_args(in, row, label);
        return label;
    }
    json_t *ids = owned(json_array()), *kwargs = owned(json_array());
    for (size_t n = 1 + next(in) % 3; n > 0; n--, row = choose(in)) {
        json_t *args = owned(json_object());
        add_args(in, row, args);
        CHECK(json_array_append_new(ids, json_string(row->id)) == 0);
        CHECK(json_array_append_new(kwargs, args) == 0);
    }
    CHECK(json_object_set_new(label, "instruction_id", ids) == 0);
    CHECK(json_object_set_new(label, "kwargs", kwargs) == 0);
    return label;
}

static char *make_checks(const struct check_row *row, json_t *kwargs, const char *mode)
{
    return dump(
        owned(json_pack("[{s:s, s:O, s:s}]", "id", row->id, "kwargs", kwargs, "mode", mode)));
}

static enum score_outcome judge(const struct score_request *req)
{
    struct score_result r;
    score_request_run(req, &r);
    CHECK((r.outcome == SCORE_UNSCORED) == (r.cause[0] != 0));
    CHECK((r.outcome == SCORE_SCORED) == (r.reward != 0));
    for (size_t i = 0; i < r.n_components; i++) {
        CHECK(r.components[i].value >= 0 && r.components[i].value <= 1);
    }
    enum score_outcome outcome = r.outcome;
    score_result_fini(&r);
    return outcome;
}

static struct score_text text_of(const char *s)
{
    return (struct score_text){s, strlen(s)};
}

static void judge_dataset(struct input *in, const struct check_row *row)
{
    char *name = dump(owned(json_string(row->id)));
    char *truth = dump(row->kind == CHECK_SUITE ? make_label(in) : make_text(in));
    const struct score_request req = {.dataset = text_of(name),
                                      .ground_truth = text_of(truth),
                                      .response = {(const char *)in->at, in->left}};
    (void)judge(&req);
    free(truth);
    free(name);
}

static void judge_check(struct input *in, const struct check_row *row)
{
    json_t *kwargs = owned(json_object());
    add_args(in, row, kwargs);
    char *strict = make_checks(row, kwargs, "strict"), *loose = make_checks(row, kwargs, "loose");
    struct score_request req = {.checks = text_of(strict),
                                .response = {(const char *)in->at, in->left}};
    enum score_outcome first = judge(&req);
    if (row->kind == CHECK_INSTRUCTION && first == SCORE_SCORED) {
        req.checks = text_of(loose);
        CHECK(judge(&req) == SCORE_SCORED);
    }
    free(loose);
    free(strict);
    json_decref(kwargs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX) {
        return 0;
    }
    struct input in = {data, size};
    const struct check_row *row = choose(&in);
    if (row->kind == CHECK_TRUTH || row->kind == CHECK_SUITE) {
        judge_dataset(&in, row);
    } else {
        judge_check(&in, row);
    }
    return 0;
}
