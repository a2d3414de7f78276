"""Calls the example's reward function as TRL does; the test score_http_test starts the verifier."""
import importlib.util
import sys

spec = importlib.util.spec_from_file_location("trl_reward", sys.argv[1])
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)

# TRL passes every column of the batch as a list, and arguments of its own besides.
plain = example.reward(prompts=["2 + 2?"] * 3, completions=["it is 4", "it is 5", "4"],
                       completion_ids=[[1], [2], [3]], dataset=["gsm8k"] * 3,
                       ground_truth=["4", "4", {"not": "text"}], trainer_state=None)
assert plain == [1.0, 0.0, None], plain

chat = example.reward(prompts=[[{"role": "user", "content": "Say hi."}]] * 2,
                      completions=[[{"role": "assistant", "content": "Hi there"}],
                                   [{"role": "assistant", "content": "Hi, there"}]],
                      checks=[[{"id": "punctuation:no_comma"}]] * 2, dataset=[None] * 2)
assert chat == [1.0, 0.0], chat

n = 2 * example.BATCH + 5
many = example.reward(prompts=["?"] * n, completions=["it is %d" % (i % 7) for i in range(n)],
                      dataset=["gsm8k"] * n, ground_truth=["3"] * n)
assert many == [1.0 if i % 7 == 3 else 0.0 for i in range(n)]

try:
    example.reward(prompts=["?"], completions=["x"], dataset=[7])
    raise AssertionError("a wrong row was taken")
except RuntimeError as e:
    assert "items[0].dataset" in str(e), e
print("ok")
