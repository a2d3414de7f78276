// pycsv.c: one pass over the characters with six states, and the end of each line as an event of
// its own, as the original has them: a carriage return ends a record at once, so that a further
// character on its line is an error, while a newline in quotes is an ordinary character.
#include "verifier/pycsv.h"

#define END_OF_LINE UINT32_MAX

enum state {
    START_RECORD,
    START_FIELD,
    IN_FIELD,
    IN_QUOTES,
    AFTER_QUOTE,     // a quote inside quotes: the end of them, or the first of a doubled one
    AFTER_RECORD,    // only line ends may follow
};

struct reader {
    struct scratch *scratch;
    uint32_t delimiter;
    enum state state;
    uint32_t *chars;             // all fields, one behind the other
    size_t n_chars, field_at;    // where the field under construction begins
    struct pylist_builder record;
    struct pycsv *out;
    size_t cap;
};

static bool ends_record(uint32_t c)
{
    return c == '\n' || c == '\r' || c == END_OF_LINE;
}

static bool put_char(struct reader *r, uint32_t c, enum state next)
{
    r->chars[r->n_chars++] = c;
    r->state = next;
    return r->n_chars - r->field_at <= PYCSV_MAX_FIELD;
}

static void put_field(struct reader *r, enum state next)
{
    pylist_add(&r->record, (struct pyspan){r->chars + r->field_at, r->n_chars - r->field_at});
    r->field_at = r->n_chars;
    r->state = next;
}

static void put_record(struct reader *r)
{
    struct pycsv *out = r->out;
    out->records =
        scratch_grow(r->scratch, out->records, out->n, out->n + 1, &r->cap, sizeof *out->records);
    out->records[out->n++] = r->record.list;
    r->record = (struct pylist_builder){.scratch = r->scratch};
}

// A character outside quotes: at the start of a field, within it, or behind its closing quote.
static bool step_bare(struct reader *r, uint32_t c)
{
    if (ends_record(c)) {
        put_field(r, c == END_OF_LINE ? START_RECORD : AFTER_RECORD);
    } else if (c == r->delimiter) {
        put_field(r, START_FIELD);
    } else {
        return put_char(r, c, IN_FIELD);
    }
    return true;
}

// False: an error.
static bool step(struct reader *r, uint32_t c)
{
    switch (r->state) {
    case START_RECORD:
        if (ends_record(c)) {
            r->state = c == END_OF_LINE ? START_RECORD : AFTER_RECORD;
            return true;
        }
        r->state = START_FIELD;
        return step(r, c);
    case START_FIELD:
        if (c == '"') {
            r->state = IN_QUOTES;
            return true;
        }
        return step_bare(r, c);
    case IN_FIELD:
        return step_bare(r, c);
    case IN_QUOTES:
        if (c == '"') {
            r->state = AFTER_QUOTE;
            return true;
        }
        return c == END_OF_LINE || put_char(r, c, IN_QUOTES);
    case AFTER_QUOTE:
        return c == '"' ? put_char(r, c, IN_QUOTES) : step_bare(r, c);
    case AFTER_RECORD:
        r->state = c == END_OF_LINE ? START_RECORD : AFTER_RECORD;
        return ends_record(c);
    }
    return false;
}

static bool read_line(struct reader *r, struct pyspan line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (!step(r, line.cp[i])) {
            return false;
        }
    }
    return step(r, END_OF_LINE);
}

bool pycsv_read(struct scratch *a, struct pyspan text, uint32_t delimiter, struct pycsv *out)
{
    *out = (struct pycsv){0};
    struct reader r = {.scratch = a, .delimiter = delimiter, .record = {.scratch = a}, .out = out};
    r.chars = scratch_array(a, text.n + 1, sizeof *r.chars);
    for (size_t at = 0; at < text.n;) {
        size_t end = MIN(pyspan_find(text, '\n', at) + 1, text.n);
        if (!read_line(&r, pyspan_slice(text, at, end))) {
            return false;
        }
        if (r.state == START_RECORD) {
            put_record(&r);
        }
        at = end;
    }
    if (r.state == IN_QUOTES) {
        put_field(&r, START_RECORD);
        put_record(&r);
    }
    return true;
}
