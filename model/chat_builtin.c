// chat_builtin.c: chat formats by name, for models that bring no template or are to be trained in
// another one.
//
// The formats are those of the models they are named after, for conversations of text: system,
// user and assistant. What a model's own template does beyond that (tools, dates, documents) is
// left to the model's own template. bos_token and eos_token are whatever the tokenizer says; a
// tokenizer without one leaves its place empty.

#include <string.h>

#include "model/chat.h"

// <|im_start|>role, newline, content, <|im_end|>, newline; `before` may add a turn in front.
#define IM_TURNS(before)                                                                           \
    before "{%- for message in messages %}"                                                        \
           "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"      \
           "{%- endfor %}"                                                                         \
           "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
#define IM_SYSTEM(text)                                                                            \
    "{%- if messages and messages[0].role != 'system' %}"                                          \
    "{{- '<|im_start|>system\\n" text "<|im_end|>\\n' }}"                                          \
    "{%- endif %}"

// <|role|>, newline, content, newline; answers end with EOS. Other roles are left out.
#define TULU_TURNS                                                                                 \
    "{%- for message in messages %}"                                                               \
    "{%- if message.role in ['system', 'user'] %}"                                                 \
    "{{- '<|' + message.role + '|>\\n' + message.content + '\\n' }}"                               \
    "{%- elif message.role == 'assistant' %}"                                                      \
    "{{- '<|assistant|>\\n' + message.content ~ eos_token }}"                                      \
    "{%- if not loop.last %}{{- '\\n' }}{%- endif %}"                                              \
    "{%- endif %}"                                                                                 \
    "{%- if loop.last and add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}"           \
    "{%- endfor %}"

// User and assistant take turns; a system message in front becomes part of the first question.
#define INST_CHECK                                                                                 \
    "{%- set ns = namespace(system='', turn=0) %}"                                                 \
    "{%- for message in messages %}"                                                               \
    "{%- if message.role == 'system' and loop.first %}"                                            \
    "{%- set ns.system = message.content %}"                                                       \
    "{%- else %}"                                                                                  \
    "{%- if message.role != ('user' if ns.turn % 2 == 0 else 'assistant') %}"                      \
    "{{- raise_exception('message ' ~ loop.index ~ ' is of role ' ~ message.role ~ ': user and "   \
    "assistant must take turns, after at most one system message') }}"                             \
    "{%- endif %}"

static const struct {
    const char *name, *source;
} builtins[] = {
    {"chatml", IM_TURNS("")},
    {"llama2", INST_CHECK "{%- if message.role == 'user' %}"
                          "{{- bos_token ~ '[INST] ' }}"
                          "{%- if ns.turn == 0 and ns.system %}"
                          "{{- '<<SYS>>\\n' + ns.system + '\\n<</SYS>>\\n\\n' }}"
                          "{%- endif %}"
                          "{{- message.content | trim + ' [/INST]' }}"
                          "{%- else %}"
                          "{{- ' ' + message.content | trim + ' ' ~ eos_token }}"
                          "{%- endif %}"
                          "{%- set ns.turn = ns.turn + 1 %}"
                          "{%- endif %}"
                          "{%- endfor %}"},
    {"llama3", "{{- bos_token }}"
               "{%- for message in messages %}"
               "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}"
               "{{- message.content | trim + '<|eot_id|>' }}"
               "{%- endfor %}"
               "{%- if add_generation_prompt %}"
               "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
               "{%- endif %}"},
    {"mistral", "{{- bos_token }}" INST_CHECK "{%- if message.role == 'user' %}"
                "{{- '[INST] ' }}"
                "{%- if ns.turn == 0 and ns.system %}{{- ns.system + '\\n\\n' }}{%- endif %}"
                "{{- message.content + '[/INST]' }}"
                "{%- else %}"
                "{{- ' ' + message.content ~ eos_token }}"
                "{%- endif %}"
                "{%- set ns.turn = ns.turn + 1 %}"
                "{%- endif %}"
                "{%- endfor %}"},
    {"olmo2", "{{- bos_token }}" TULU_TURNS},
    {"qwen2", IM_TURNS(IM_SYSTEM("You are a helpful assistant."))},
    {"smollm2",
     IM_TURNS(IM_SYSTEM("You are a helpful AI assistant named SmolLM, trained by Hugging Face"))},
    {"tulu", TULU_TURNS},
};

const char *chat_builtin(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        if (strcmp(builtins[i].name, name) == 0) {
            return builtins[i].source;
        }
    }
    return NULL;
}

const char *chat_builtin_names(void)
{
    return "chatml, llama2, llama3, mistral, olmo2, qwen2, smollm2, tulu";
}
