import pytest
from transformers import LlamaConfig, Qwen3Config

from tunesmith.model.families._config_aliases import SHARED_SETTINGS, without_alias

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128}


def test_a_plain_llama_becomes_qwen2_with_the_same_sizes_and_rotation() -> None:
    llama = LlamaConfig(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 12345.0})
    twin = without_alias(llama)
    assert twin.model_type == "qwen2"
    for name in SHARED_SETTINGS:
        assert getattr(twin, name) == getattr(llama, name)


@pytest.mark.parametrize("odd", [{"attention_bias": True}, {"mlp_bias": True}, {"head_dim": 32}])
def test_a_llama_that_qwen2_cannot_compute_stays_a_llama(odd: dict[str, object]) -> None:
    assert without_alias(LlamaConfig(**SIZES, **odd)).model_type == "llama"


def test_quantisation_is_left_behind() -> None:
    config = Qwen3Config(**SIZES, quantization_config={"quant_method": "gguf"})  # type: ignore[call-arg]
    assert "quantization_config" not in without_alias(config).to_dict()
    assert without_alias(config).model_type == "qwen3"
