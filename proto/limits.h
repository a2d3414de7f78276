// limits.h: every bound of the wire in one place. A length is compared with its limit before
// anything is allocated for it.
//
// Both directions use them: the encoder refuses what a decoder would refuse, so a message that
// leaves is one that arrives. The values bound what one peer can make another allocate; they are
// generous for models and contexts of today.
#ifndef CARAVAN_PROTO_LIMITS_H
#define CARAVAN_PROTO_LIMITS_H

#define PROTO_WIRE_VERSION 3

enum {
    LIMIT_MESSAGE_BYTES = 6 << 20,    // a whole message, both directions
    LIMIT_CHUNK_BYTES = 4 << 20,      // weights in one MSG_WEIGHTS_CHUNK
    LIMIT_PROMPT_TOKENS = 1 << 17,
    LIMIT_COMPLETION_TOKENS = 1 << 17,
    LIMIT_GROUPS_PER_LEASE = 256,
    LIMIT_SAMPLES_PER_GROUP = 1024,
    LIMIT_SEGMENTS = 1 << 12,    // version segments of one sample
    LIMIT_STOP_IDS = 32,
    LIMIT_JOBS_PER_LEASE = 256,
    LIMIT_TEXT_BYTES = 2 << 20,      // a prompt, a response, a checks document
    LIMIT_NAME_BYTES = 128,          // names, addresses, causes, hex hashes
    LIMIT_CONFIG_BYTES = 1 << 16,    // model config JSON
    LIMIT_FAULT_BYTES = 1024,        // the text of a refusal
    LIMIT_CHECKS = 1024,             // checks offered in hello, components of a verdict
    LIMIT_HELD = 1 << 16,            // leases named in a heartbeat
    LIMIT_STATS = 64,                // counters in a heartbeat
    LIMIT_DEPTH = 6,                 // nesting of maps and arrays
    LIMIT_MAP_KEYS = 64,             // keys of one map, unknown ones included
    LIMIT_LONG_POLL_MS = 15000,
};

#endif
