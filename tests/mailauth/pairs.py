"""A pair of keys of each algorithm, made once for all tests that sign."""

from gatepost.mailauth import keys
from gatepost.model.dkim import Algorithm

PAIRS = {algorithm: keys.generate(algorithm) for algorithm in Algorithm}
