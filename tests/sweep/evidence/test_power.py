from sweep.evidence.power import detectable, power


def test_more_blocks_see_less_and_a_noisier_arm_needs_more() -> None:
    seen = [detectable(blocks, sd=0.08) for blocks in (6, 9, 13, 20)]
    assert all(each is not None for each in seen)
    assert seen == sorted(seen, key=lambda each: -(each or 0))
    assert (detectable(9, sd=0.2) or 0) > (seen[1] or 0)


def test_power_grows_with_the_effect_to_what_is_detectable() -> None:
    effect = detectable(9, sd=0.08) or 0.0
    powers = [power(share * effect, 9, sd=0.08) for share in (0.0, 0.5, 1.0, 2.0)]
    assert powers == sorted(powers)
    assert powers[0] < 0.05
    assert 0.8 <= powers[2] < 0.9


def test_before_the_first_look_nothing_is_seen_and_a_pair_needs_nine_blocks() -> None:
    assert detectable(5, sd=0.01) is None
    assert detectable(8, sd=0.01, sides=(1, 1)) is None
    assert detectable(9, sd=0.01, sides=(1, 1)) is not None


def test_blocks_between_looks_add_nothing() -> None:
    assert power(0.15, 12, sd=0.08) == power(0.15, 9, sd=0.08)
