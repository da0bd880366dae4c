"""Language models without experts or states equal their reference."""

from __future__ import annotations

from tests.parity.text import (  # noqa: F401  # tests, run for each pair
    pairs,
    test_a_cache_filled_in_pieces_equals_one_prefill,
    test_a_config_written_in_another_way_means_the_same,
    test_a_packed_batch_equals_each_sequence_alone,
    test_every_tensor_matters_to_the_reference,
    test_greedy_tokens_are_those_of_the_reference,
    test_logits_are_those_of_the_reference,
    test_the_config_chooses_the_spec,
)

pair = pairs("dense")
