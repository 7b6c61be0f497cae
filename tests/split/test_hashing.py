import hashlib

import numpy as np

from tunesmith.split.hashing import hash64, mix


def test_a_text_has_the_first_eight_bytes_of_its_hash():
    assert hash64("héllo") == int(hashlib.blake2b("héllo".encode(), digest_size=8).hexdigest(), 16)


def test_mixing_has_the_values_of_the_reference():
    # First outputs of SplitMix64 from seed 0: state k times the golden gamma.
    states = np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(value) for value in mix(states)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]
