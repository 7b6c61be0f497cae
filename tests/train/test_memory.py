import torch

from tunesmith.train.memory import peak_memory_gib


def test_the_peak_counts_what_this_process_has_taken_and_never_falls() -> None:
    before = peak_memory_gib(torch.device("cpu"))
    taken = torch.ones(300, 2**20)
    after = peak_memory_gib(torch.device("cpu"))
    assert after > before + 0.3
    del taken
    assert peak_memory_gib(torch.device("cpu")) >= after
