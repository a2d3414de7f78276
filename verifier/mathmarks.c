// mathmarks.c: finding marks.
//
// Boxes come from one pass with a stack of open braces, so that ten thousand boxes in one another,
// closed or not, cost no more than their length. Dollars pair with their neighbour unless what
// stands between reads as prose, which is how a stray one shows, or as an amount of money.
#include "verifier/mathmarks.h"

#include <string.h>

#include "verifier/mathrun.h"

// A piece of the text with marks (from, to) and without (open, close).
struct piece {
    size_t from, open, close, to;
};

struct pieces {
    struct piece *v;
    size_t n, cap;
};

static void add_piece(struct scratch *a, struct pieces *p, struct piece x)
{
    if (p->n == p->cap) {
        p->v = scratch_grow(a, p->v, p->n, p->n + 1, &p->cap, sizeof *p->v);
    }
    p->v[p->n++] = x;
}

static bool at_ascii(struct pyspan s, size_t at, const char *text)
{
    return pyspan_starts_with(pyspan_slice(s, at, s.n), text);
}

static size_t skip_spaces(struct pyspan s, size_t at)
{
    while (at < s.n && py_isspace(s.cp[at])) {
        at++;
    }
    return at;
}

// ---- pieces that belong together ----

// "," "and" "or" ", and", as text or \text; nothing else but spaces and marks.
static bool is_joint(struct pyspan s)
{
    static const char *const passed[] = {"\\text{", "\\(", "\\)", "\\[", "\\]",   "\\ ",
                                         "\\,",     "\\;", "$",   "}",   "\\quad"};
    static const char *const joints[] = {",", "and", "or", "\\text{and}", "\\text{or}"};
    bool joined = false;
    for (size_t i = 0; (i = skip_spaces(s, i)) < s.n;) {
        size_t len = 0;
        for (size_t k = 0; k < ARRAY_LEN(joints) && len == 0; k++) {
            len = at_ascii(s, i, joints[k]) ? strlen(joints[k]) : 0;
        }
        joined = joined || len > 0;
        for (size_t k = 0; k < ARRAY_LEN(passed) && len == 0; k++) {
            len = at_ascii(s, i, passed[k]) ? strlen(passed[k]) : 0;
        }
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return joined;
}

static bool are_joined(struct pyspan s, struct piece x, struct piece y)
{
    enum { JOINT_MAX = 24 };
    return y.from >= x.to && y.from - x.to <= JOINT_MAX && is_joint(pyspan_slice(s, x.to, y.from));
}

// Pieces [first, last] with commas between; one that repeats the piece before it is left out.
static struct pyspan put_together(struct scratch *a, struct pyspan s, const struct pieces *p,
                                  size_t first, size_t last)
{
    struct pylist_builder b = {.scratch = a};
    for (size_t i = first; i <= last; i++) {
        struct pyspan inside = pyspan_slice(s, p->v[i].open, p->v[i].close);
        if (i == first || !pyspan_equal(inside, b.list.v[b.list.n - 1])) {
            pylist_add(&b, inside);
        }
    }
    return pytext_join(a, b.list, pytext_literal(a, ","));
}

// ---- boxes ----

static size_t box_command(struct pyspan s, size_t at)
{
    static const char *const commands[] = {"\\boxed", "\\fbox", "\\framebox"};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (at_ascii(s, at, commands[i])) {
            return strlen(commands[i]);
        }
    }
    return 0;
}

static size_t next_of(struct pyspan s, size_t at, uint32_t x, uint32_t y)
{
    while (at < s.n && s.cp[at] != x && s.cp[at] != y) {
        at++;
    }
    return at;
}

struct open_brace {
    size_t at;
    size_t box;    // where its box begins, or PYSPAN_NONE
};

struct box_scan {
    struct scratch *scratch;
    struct pyspan s;
    struct open_brace *stack;
    size_t depth, cap;
    struct pieces boxes;
    size_t unclosed;    // behind the command of the last box that has not closed yet
};

static void push_brace(struct box_scan *b, size_t at, size_t box)
{
    if (b->depth == b->cap) {
        b->stack =
            scratch_grow(b->scratch, b->stack, b->depth, b->depth + 1, &b->cap, sizeof *b->stack);
    }
    b->stack[b->depth++] = (struct open_brace){at, box};
}

// A closed box takes in those that lie in it.
static void add_box(struct box_scan *b, struct piece x)
{
    while (b->boxes.n > 0 && b->boxes.v[b->boxes.n - 1].from > x.from) {
        b->boxes.n--;
    }
    add_piece(b->scratch, &b->boxes, x);
}

// At a box's command, `len` long; returns where to go on.
static size_t open_box(struct box_scan *b, size_t at, size_t len)
{
    size_t next = skip_spaces(b->s, at + len);
    if (next < b->s.n && b->s.cp[next] == '{') {
        push_brace(b, next, at);
        b->unclosed = next + 1;
        return next + 1;
    }
    if (next > at + len && next < b->s.n && box_command(b->s, next) == 0) {
        // "\boxed 5 cm$": up to a dollar.
        size_t end = next_of(b->s, next, '$', '\n');
        add_box(b, (struct piece){at, next, end, end});
        return end;
    }
    return at + len;
}

static void scan_boxes(struct box_scan *b)
{
    for (size_t i = 0; i < b->s.n;) {
        uint32_t c = b->s.cp[i];
        if (c == '\\') {
            size_t len = box_command(b->s, i);
            i = len > 0 ? open_box(b, i, len) : i + 2;    // \{ and \} are no braces
            continue;
        }
        if (c == '{') {
            push_brace(b, i, PYSPAN_NONE);
        } else if (c == '}' && b->depth > 0) {
            struct open_brace o = b->stack[--b->depth];
            if (o.box != PYSPAN_NONE) {
                add_box(b, (struct piece){o.box, o.at + 1, i, i + 1});
            }
        }
        i++;
    }
}

// A box inside a box stays as a group, without the command.
static struct pyspan unbox(struct scratch *a, struct pyspan s)
{
    uint32_t *cp = scratch_array(a, s.n + 1, sizeof *cp);
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        size_t len = s.cp[i] == '\\' ? box_command(s, i) : 0;
        if (len == 0) {
            cp[n++] = s.cp[i++];
        }
        i += len;
    }
    return (struct pyspan){cp, n};
}

bool mathmarks_boxed(struct scratch *a, struct pyspan s, struct pyspan *out)
{
    struct box_scan b = {.scratch = a, .s = s, .unclosed = PYSPAN_NONE};
    scan_boxes(&b);
    if (b.boxes.n == 0) {
        if (b.unclosed == PYSPAN_NONE) {
            return false;
        }
        size_t end = next_of(s, b.unclosed, '$', '\n');
        *out = pyspan_slice(s, b.unclosed, end);
        return true;
    }
    size_t last = b.boxes.n - 1, first = last;
    while (first > 0 && are_joined(s, b.boxes.v[first - 1], b.boxes.v[first])) {
        first--;
    }
    *out = unbox(a, put_together(a, s, &b.boxes, first, last));
    return true;
}

// ---- dollars, \( \) and \[ \] ----

struct mark {
    size_t from, to;
    uint32_t kind;    // '$' either side; '(' '[' open; ')' ']' close
};

struct marks {
    struct mark *v;
    size_t n, cap;
};

// "\begin{align*}" and its like open, "\end{align*}" closes; 0: no such command at `at`.
static size_t display_command(struct pyspan s, size_t at, uint32_t *kind)
{
    static const char *const names[] = {"align", "equation", "gather", "multline"};
    bool begins = at_ascii(s, at, "\\begin{");
    size_t name = at + (begins ? 7 : 5);
    if (!begins && !at_ascii(s, at, "\\end{")) {
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t end = name + strlen(names[i]);
        end += at_ascii(s, name, names[i]) && at_ascii(s, end, "*");
        if (at_ascii(s, name, names[i]) && at_ascii(s, end, "}")) {
            *kind = begins ? '[' : ']';
            return end + 1 - at;
        }
    }
    return 0;
}

static struct marks find_marks(struct scratch *a, struct pyspan s)
{
    struct marks m = {0};
    for (size_t i = 0; i < s.n;) {
        size_t len = 0;
        uint32_t kind = s.cp[i];
        if (kind == '\\' && i + 1 < s.n) {
            kind = s.cp[i + 1];
            bool math = kind == '(' || kind == ')' || kind == '[' || kind == ']';
            len = math ? 2 : display_command(s, i, &kind);
            i += len > 0 ? 0 : 2;
        } else if (kind == '$') {
            len = at_ascii(s, i, "$$") ? 2 : 1;
        } else {
            i++;
        }
        if (len > 0) {
            if (m.n == m.cap) {
                m.v = scratch_grow(a, m.v, m.n, m.n + 1, &m.cap, sizeof *m.v);
            }
            m.v[m.n++] = (struct mark){i, i + len, kind};
            i += len;
        }
    }
    return m;
}

// "$5 and $7": a dollar before a digit opens no formula when a digit follows the other one too, or
// when words stand between them up to a blank.
static bool is_money(struct pyspan s, struct mark open, struct mark close)
{
    struct pyspan inside = pyspan_slice(s, open.to, close.from);
    bool amount = inside.n > 0 && py_isdecimal(inside.cp[0]);
    bool next_amount = close.to < s.n && py_isdecimal(s.cp[close.to]);
    bool blank = inside.n > 0 && py_isspace(inside.cp[inside.n - 1]);
    return amount && (next_amount || (blank && mathrun_has_words(inside)));
}

// Do marks k and k + 1 enclose mathematics?
static bool pair_at(struct pyspan s, const struct marks *m, size_t k, struct piece *out)
{
    uint32_t open = m->v[k].kind, close = m->v[k + 1].kind;
    if (!((open == '$' && close == '$') || (open == '(' && close == ')') ||
          (open == '[' && close == ']'))) {
        return false;
    }
    struct pyspan inside = pyspan_slice(s, m->v[k].to, m->v[k + 1].from);
    *out = (struct piece){m->v[k].from, m->v[k].to, m->v[k + 1].from, m->v[k + 1].to};
    return !pyspan_blank(inside) &&
           !(open == '$' && (is_money(s, m->v[k], m->v[k + 1]) || mathrun_is_prose(inside)));
}

bool mathmarks_first(struct scratch *a, struct pyspan s, struct pyspan *out, size_t *at)
{
    struct marks m = find_marks(a, s);
    struct pieces p = {0};
    for (size_t k = 0; k + 1 < m.n;) {
        struct piece x;
        if (!pair_at(s, &m, k, &x)) {
            k++;
            continue;
        }
        if (p.n > 0 && !are_joined(s, p.v[p.n - 1], x)) {
            break;
        }
        add_piece(a, &p, x);
        k += 2;
    }
    if (p.n == 0) {
        return false;
    }
    *at = p.v[0].from;
    *out = put_together(a, s, &p, 0, p.n - 1);
    return true;
}

// "x = 1" and "x = 2" are values of one name.
static bool same_name(struct pyspan s, struct piece x, struct piece y)
{
    struct pyspan one = pyspan_slice(s, x.open, x.close), two = pyspan_slice(s, y.open, y.close);
    size_t i = pyspan_find(one, '=', 0), k = pyspan_find(two, '=', 0);
    return i < one.n && k < two.n &&
           pyspan_equal(pyspan_strip(pyspan_slice(one, 0, i)),
                        pyspan_strip(pyspan_slice(two, 0, k)));
}

bool mathmarks_last(struct scratch *a, struct pyspan s, struct pyspan *out)
{
    struct marks m = find_marks(a, s);
    struct pieces back = {0}, p = {0};    // from the last one backwards
    for (size_t k = m.n; k >= 2;) {
        struct piece x;
        if (!pair_at(s, &m, k - 2, &x)) {
            k--;
            continue;
        }
        struct piece *next = back.n > 0 ? &back.v[back.n - 1] : NULL;
        if (next && !(are_joined(s, x, *next) && same_name(s, x, *next))) {
            break;
        }
        add_piece(a, &back, x);
        k -= 2;
    }
    for (size_t i = back.n; i > 0; i--) {
        add_piece(a, &p, back.v[i - 1]);
    }
    if (p.n > 0) {
        *out = put_together(a, s, &p, 0, p.n - 1);
    }
    return p.n > 0;
}
