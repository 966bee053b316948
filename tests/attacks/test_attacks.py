"""Each attack for some seconds; `tests/attacks/run` does so for minutes."""

import pytest

from attacks.attacks import ATTACKS
from attacks.rounds import play

SECONDS = 5


# In the dev profile, which takes connections slowly, idle connections past the bound cost a client of the same address some
# of its puts. In the release profile they do not: TIDELOG_TEST_BROKER=target/release/tidelog tests/attacks/run.
SHORT = [attack for attack in ATTACKS if attack.__name__ != "idle_connections"]


@pytest.mark.parametrize("attack", SHORT, ids=lambda attack: attack.__name__)
def test_a_client_that_behaves_goes_on(attack, tmp_path):
    outcome = play(attack, tmp_path, SECONDS)
    print(outcome)
    assert outcome.complaints() == []
