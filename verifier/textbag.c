// textbag.c: open addressing, at most three quarters full.
#include "verifier/textbag.h"

#define FIRST_SLOTS 64

struct textbag_slot {
    struct pyspan text;    // cp is NULL in a free slot
    size_t number;
};

static struct textbag_slot *find(struct textbag_slot *slots, size_t n_slots, struct pyspan text)
{
    size_t at = pyspan_hash(text) & (n_slots - 1);
    while (slots[at].text.cp && !pyspan_equal(slots[at].text, text)) {
        at = (at + 1) & (n_slots - 1);
    }
    return &slots[at];
}

static void grow(struct textbag *b)
{
    size_t n_slots = b->n_slots ? 2 * b->n_slots : FIRST_SLOTS;
    struct textbag_slot *slots = scratch_array(b->scratch, n_slots, sizeof *slots);
    for (size_t i = 0; i < n_slots; i++) {
        slots[i] = (struct textbag_slot){.number = 0};
    }
    for (size_t i = 0; i < b->n_slots; i++) {
        if (b->slots[i].text.cp) {
            *find(slots, n_slots, b->slots[i].text) = b->slots[i];
        }
    }
    b->slots = slots;
    b->n_slots = n_slots;
}

size_t *textbag_at(struct textbag *b, struct pyspan text)
{
    static const uint32_t empty = 0;
    if (text.n == 0) {
        text.cp = &empty;
    }
    if (b->n + 1 > b->n_slots - b->n_slots / 4) {
        grow(b);
    }
    struct textbag_slot *slot = find(b->slots, b->n_slots, text);
    if (!slot->text.cp) {
        *slot = (struct textbag_slot){.text = text};
        b->n++;
    }
    return &slot->number;
}
