"""Each cause is named only if the ledgers prove it."""

import pytest
from ledger_builders import (
    BIAS,
    DATA,
    KERNEL,
    RATE,
    changed,
    exit_record,
    record,
    result,
    training,
    with_fields,
    write,
)

from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.differences.environment_diff import environment_differences

NOT_PORTABLE = "(not expected to be identical: these are not portable runs)"

CALL = "call keras.utils.set_random_seed before building"
LATE = "a seed is set, but after the model was built, or the weights do not depend on it"


@pytest.fixture
def cause(tmp_path):
    """Return the cause and explanation of the divergence of two lists of records."""

    def find(a, b, *, same_script=False, a_header=None, b_header=None):
        runs = [write(tmp_path / "a", a, **(a_header or {})), write(tmp_path / "b", b, **(b_header or {}))]
        comparison = compare_all(runs, same_script=same_script)
        assert comparison.verdict == "diverged"
        return comparison.divergence.cause, comparison.divergence.explanation

    return find


def diverged(position="epoch 0 0", section="weights", tensor=KERNEL, **fit):
    """Return a training that differs from `training()` in one tensor and in fields of its `fit` record."""
    return changed(training(**fit), position, section, tensor, "other")


def test_cause_is_unknown_without_evidence(cause):
    """Weights differ, and everything else that was recorded is equal."""
    assert cause(training(), diverged()) == ("unknown", None)
    assert cause(training(), diverged(section="metrics", tensor="loss")) == ("unknown", None)
    assert cause(training(), diverged("end 0")) == ("unknown", None)


@pytest.mark.parametrize(
    ("seeds", "others", "explanation"),
    [
        ({"keras": 42, "tensorflow": None}, {"keras": 42, "tensorflow": None}, LATE),
        ({"keras": 42, "tensorflow": 1}, {"keras": 42, "tensorflow": 2}, LATE),
        ({"keras": 42}, {"keras": 43}, "seeds differ: 42 and 43"),
        ({"keras": 0}, {"keras": 1}, "seeds differ: 0 and 1"),
        ({"keras": None}, {"keras": None}, f"no seed was set with Keras; {CALL}"),
        # Seeds that were not recorded are unknown.
        ({}, {}, None),
        ({"keras": None}, {}, None),
        ({"tensorflow": 1}, {"tensorflow": 1}, None),
        ({"keras": 42}, {"keras": None}, f"one of the runs set no seed with Keras; {CALL}"),
        (
            {"keras": None, "tensorflow": 1},
            {"keras": None, "tensorflow": 1},
            f"seeds were set with tf.random.set_seed, from which Keras 3's initializers do not draw; {CALL}",
        ),
    ],
)
@pytest.mark.parametrize("position", ["start 0", "birth 0 0"])
def test_initial_weights_are_explained_by_seeds(cause, seeds, others, explanation, position):
    base = training(seeds_set=seeds)
    other = changed(training(seeds_set=others), position, "weights", KERNEL, "other")
    if position.startswith("birth"):
        base = changed(base, position, "weights", KERNEL, "one")
    assert cause(base, other) == ("initial_weights", explanation)


def test_loop_with_only_its_end_recorded_has_unknown_cause(cause):
    """A loop diverges although its weights are seeded: the seed is not the cause."""
    texts = ("one", "other")
    for seeds, explanation in (
        ({"keras": 1}, "only the end was recorded: use kr.Recorder to see where a loop diverges"),
        ({"keras": None}, f"no seed was set with Keras; {CALL}"),
        ({}, None),
    ):
        runs = [[exit_record({"weights": {KERNEL: text}}, seeds_set=seeds)] for text in texts]
        header = {"coverage": "smr"}
        result = cause(*runs, same_script=True, a_header=header, b_header=header)
        assert result == ("unknown", explanation)


def test_later_weight_differences_are_not_initial_weights(cause):
    assert cause(training(seeds_set={}), diverged(seeds_set={})) == ("unknown", None)


def test_optimizer_setting_is_configuration(cause):
    explanation = "an optimizer's setting or state differs before the first step"
    assert cause(training(), diverged("birth 0 0", "optimizer", RATE)) == ("configuration", explanation)


@pytest.mark.parametrize(
    ("other", "explanation"),
    [
        (
            {"configuration": {"model": "Sequential", "layers": [["Dense", {"units": 4}]]}},
            "configuration layers 0 1 units (3 and 4) differs",
        ),
        (
            {"configuration": {"model": "Sequential", "layers": []}},
            "configuration layers ([['Dense', {'units': 3}]] and []) differs",
        ),
        ({"configuration": {"model": "Model"}}, "configuration model ('Sequential' and 'Model') differs"),
        ({"arguments": {"epochs": 3, "steps": 3}}, "arguments steps (2 and 3) differs"),
        (
            {"arguments": {"epochs": 3, "steps": 2, "shuffle": False}},
            "arguments shuffle (None and False) differs",
        ),
    ],
)
def test_differing_configuration_is_the_cause(cause, other, explanation):
    assert cause(training(), diverged(**other)) == ("configuration", explanation)


def test_number_of_epochs_alone_is_no_cause(cause):
    """Training one run for longer does not change its first epochs."""
    longer = {"arguments": {"epochs": 9, "epochs_requested": 9, "steps": 2}}
    assert cause(training(), diverged(**longer)) == ("unknown", None)
    values = longer | {"data": DATA | {"digest": "f" * 32, "rows": "f" * 32}}
    assert cause(training(), diverged(**values)) == ("data_values", "the data given to fit differs")


def test_nan_equals_itself(cause):
    """NaN is not equal to itself: a configuration with it must not become the cause."""
    same = {"configuration": {"epsilon": float("nan")}}
    assert cause(training(**same), diverged(**same)) == ("unknown", None)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (DATA | {"digest": "f" * 32, "rows": "f" * 32}, ("data_values", "the data given to fit differs")),
        (DATA | {"digest": "f" * 32, "rows": ""}, ("data_values", "the data given to fit differs")),
        (DATA | {"digest": "f" * 32}, ("data_order", "the data has the same samples in another order")),
        (
            {"kind": "tf.data", "order": "not ours"},
            ("configuration", "the data differs in kind: {} and {}"),
        ),
    ],
)
def test_differing_data_are_the_cause(cause, other, expected):
    for a, b, kinds in (
        (training(), diverged(data=other), ("arrays", "tf.data")),
        (training(data=other), diverged(), ("tf.data", "arrays")),
    ):
        assert cause(a, b) == (expected[0], expected[1].format(*kinds))


@pytest.mark.parametrize(
    ("left", "right", "explanation"),
    [
        ({"x": "1", "y": "2"}, {"x": "1", "y": "9"}, "y given to fit differs"),
        ({"x": "1", "y": "2"}, {"x": "9", "y": "9"}, "x and y given to fit differ"),
        ({"x[0]": "1", "x[1]": "2"}, {"x[0]": "1", "x[1]": "9"}, "x[1] given to fit differs"),
        ({"x['a']": "1", "x['b']": "2"}, {"x['a']": "9", "x['b']": "8"}, "x given to fit differs"),
        ({"x": "1"}, {"x": "1", "sample_weight": "3"}, "sample_weight given to fit differs"),
        ({"x": "1", "y": "2"}, {}, "the data given to fit differs"),  # as in ledgers of earlier versions
        ({"x": "1"}, {"x": "1"}, "the data given to fit differs"),
    ],
)
def test_arguments_that_differ_are_named(cause, left, right, explanation):
    other = {"digest": "f" * 32, "rows": "f" * 32}
    a, b = (DATA | {"parts": left}, DATA | other | {"parts": right})
    assert cause(training(data=a), diverged(data=b)) == ("data_values", explanation)
    validation = {"section": "metrics", "tensor": "val_loss"}
    of_validation = explanation.replace("the data given to fit", "the validation data given to fit")
    if not explanation.startswith("the data"):
        of_validation = explanation.replace("given to fit", "of the validation data")
    found = cause(training(validation_data=a), diverged(validation_data=b, **validation))
    assert found == ("data_values", of_validation)


def test_data_without_a_digest_are_no_cause(cause):
    stream = {"kind": "tf.data", "order": "not ours"}
    assert cause(training(data=stream), diverged(data=stream)) == ("unknown", None)


def test_validation_data_explain_metrics_only(cause):
    base = {"validation_data": DATA}
    values = {"validation_data": DATA | {"digest": "f" * 32, "rows": "f" * 32}}
    order = {"validation_data": DATA | {"digest": "f" * 32}}
    metrics = {"section": "metrics", "tensor": "val_loss"}
    assert cause(training(**base), diverged(**values, **metrics)) == (
        "data_values",
        "the validation data given to fit differs",
    )
    assert cause(training(**base), diverged(**order, **metrics))[0] == "data_order"
    # Validation data change no weights, so they are no cause if weights differ.
    assert cause(training(**base), diverged(**values)) == ("unknown", None)


def test_controlled_order_is_explained_by_the_trainer(cause):
    ordered = changed(training(), "epoch 0 0", "order", "order", "one")
    other = changed(changed(ordered, "epoch 0 0", "order", "order", "two"), "epoch 0 0", "weights", BIAS, "x")
    explanation = "the seed, batch size or shuffle policy of the trainer differs"
    assert cause(ordered, other) == ("data_order", explanation)
    # The order depends on the number of samples too: other data is then the cause.
    data = with_fields(
        other, "fit 0", extra={"data": DATA | {"digest": "f" * 32, "rows": "f" * 32, "samples": 5}}
    )
    assert cause(ordered, data) == ("data_values", "the data given to fit differs")


def drawing(*, section, tensor, **fit):
    """Return a training that has drawn from a generator in its first epoch."""
    return changed(training(**fit), "epoch 0 0", section, tensor, "one")


def test_random_state_is_a_cause(cause):
    seeds = {"section": "seeds", "tensor": "layers/1/seed_generator/state at the start"}
    result = cause(drawing(**seeds), diverged(**seeds))
    assert result == (
        "random_state",
        "the random state of layers/1/seed_generator differs: "
        "it is unseeded, or was used a different number of times",
    )


def test_random_state_precedes_the_weights_it_changed(cause):
    """Dropout that is not seeded changes weights in the same epoch: the generator is why."""
    base, other = (
        changed(records, "epoch 0 0", "seeds", "layers/1/seed_generator/state at the start", text)
        for records, text in ((training(), "one"), (diverged(), "other"))
    )
    assert cause(base, other)[0] == "random_state"


def test_generator_that_was_equal_before_the_first_step_is_no_cause(cause):
    """It was used a different number of times: the ledgers do not show why."""
    base, other = (
        changed(records, "epoch 0 0", "seeds", "layers/1/seed_generator/state", text)
        for records, text in ((training(), "one"), (diverged(), "other"))
    )
    explanation = "layers/1/seed_generator was used a different number of times"
    assert cause(base, other) == ("unknown", explanation)
    alone = changed(training(), "epoch 0 0", "seeds", "layers/1/seed_generator/state", "other")
    assert cause(base, alone) == ("random_state", explanation)
    values = {"data": DATA | {"digest": "f" * 32, "rows": "f" * 32}}
    assert cause(base, with_fields(other, "fit 0", extra=values))[0] == "data_values"


def layers_of(**settings):
    return {"configuration": {"layers": [["Dropout", settings]]}}


def test_seed_of_a_layer_is_named_as_the_state_that_it_sets(cause):
    """A diagnosis names the state of its generator; where a seed shows nowhere, it is no known cause."""
    generator = {"section": "seeds", "tensor": "layers/0/seed_generator/state at the start"}
    seeds = layers_of(seed=3), layers_of(seed=4)
    assert cause(drawing(**seeds[0], **generator), diverged(**seeds[1], **generator)) == (
        "random_state",
        "the random state of layers/0/seed_generator differs: configuration layers 0 1 seed (3 and 4)",
    )
    assert cause(training(**seeds[0]), diverged(**seeds[1])) == (
        "unknown",
        "configuration layers 0 1 seed (3 and 4) differs",
    )
    initializers = [layers_of(kernel_initializer={"seed": seed}) for seed in (3, 4)]
    assert cause(training(**initializers[0]), diverged("start 0", **initializers[1]))[0] == "initial_weights"


def test_causes_come_in_the_order_of_a_diagnosis(cause):
    """Of several differences before the first step, both name the same one: settings, weights, generators."""
    rates = layers_of(rate=0.2), layers_of(rate=0.3)
    values = {"data": DATA | {"digest": "f" * 32, "rows": "f" * 32}}
    generator = {"section": "seeds", "tensor": "layers/0/seed_generator/state at the start"}
    assert cause(training(**rates[0]), diverged("start 0", **rates[1], **values))[0] == "configuration"
    assert cause(training(), diverged("start 0", **values))[0] == "initial_weights"
    assert cause(drawing(**generator), diverged(**values, **generator))[0] == "random_state"
    # Only one run drew from it: its state is no cause.
    assert cause(training(), diverged(**values, **generator))[0] == "data_values"


def test_number_of_steps_is_no_cause(cause):
    """Other data takes another number of steps, perhaps of another size."""
    steps = {"arguments": {"epochs": 3, "steps": 9, "batch_size": 7}}
    values = {"data": DATA | {"digest": "f" * 32, "rows": "f" * 32}}
    assert cause(training(), diverged(**steps, **values))[0] == "data_values"
    stream = {"data": {"kind": "tf.data", "order": "not ours"}}
    steps = {"arguments": {"epochs": 3, "steps": 9}}
    assert cause(training(**stream), diverged(**stream, **steps)) == (
        "unknown",
        "arguments steps (2 and 9) differs",
    )


def test_weights_after_a_custom_loop_are_not_known_to_be_initial_ones(cause):
    loop = {"after_custom_loop": True}
    assert cause(training(**loop), diverged("start 0", **loop)) == (
        "unknown",
        "a custom training loop ran before the fit: use kr.Recorder to see where a loop diverges",
    )


def test_cause_in_a_later_fit_is_its_own_data(cause):
    """The first fit's data differed without effect; the second's did not differ."""
    a = [*training(data=DATA), *training(fit=1)]
    b = changed(
        [*training(data=DATA | {"digest": "f" * 32}), *training(fit=1)], "epoch 1 0", "weights", BIAS, "x"
    )
    assert cause(a, b) == ("unknown", None)


def test_evaluation_data_are_a_cause(cause):
    header = {"coverage": "smr"}
    headers = {"a_header": header, "b_header": header}
    base = [*training(), result("evaluation")]
    other = [*training(), result("evaluation", text="0.5")]
    assert cause(base, other, **headers) == ("unknown", None)
    values = {"data": DATA | {"digest": "f" * 32, "rows": "f" * 32}}
    other = [*training(), result("evaluation", text="0.5", **values)]
    assert cause(base, other, **headers) == ("data_values", "the data given to evaluation differs")
    # How the model was trained is not why its evaluation differs.
    other = [*training(configuration={}), result("evaluation", text="0.5")]
    assert cause(base, other, **headers) == ("unknown", None)


def header_of(**changes):
    environment = {
        "cpu": {"model": "a CPU", "logical": 8},
        "gpu": [],
        "packages": {"tensorflow": "2.21.0", "keras": "3.15.1", "numpy": "2.4.1", "rich": "14.0"},
    }
    switches = {"hash_seed": "1", "threads": {"intra": 2, "inter": 2}}
    environment |= {k: v for k, v in changes.items() if k in environment}
    switches |= {k: v for k, v in changes.items() if k not in environment}
    return {
        "environment": environment,
        "switches": tuple({"name": name, "achieved": value} for name, value in switches.items()),
    }


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"cpu": {"model": "another"}}, f"CPU model differs: a CPU and another {NOT_PORTABLE}"),
        ({"cpu": None}, f"CPU model differs: a CPU and not recorded {NOT_PORTABLE}"),
        ({"gpu": [{"model": "H100"}]}, "GPU differs: none and H100"),
        ({"packages": {"tensorflow": "2.21.0", "keras": "3.15.1"}}, "numpy differs: 2.4.1 and none"),
        (
            {"threads": {"intra": 4, "inter": 2}},
            "switch threads differs: {'intra': 2, 'inter': 2} and {'intra': 4, 'inter': 2}",
        ),
    ],
)
def test_environment_is_the_cause_if_no_nearer_one_is_known(cause, change, note):
    headers = {"a_header": header_of(), "b_header": header_of(**change)}
    assert environment_differences(header_of(), header_of(**change)) == [note]
    assert cause(training(), diverged(), **headers) == ("environment", note)
    # A nearer cause comes first.
    assert cause(training(), diverged("start 0"), **headers)[0] == "initial_weights"
    assert cause(training(), diverged(configuration={}), **headers)[0] == "configuration"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"cpu": {"model": "a CPU", "logical": 64}},
        {"packages": header_of()["environment"]["packages"] | {"rich": "15.0"}},
        {"new switch": 1},
    ],
)
def test_environment_without_effect_on_bits_is_no_cause(cause, change):
    headers = {"a_header": header_of(), "b_header": header_of(**change)}
    assert environment_differences(header_of(), header_of(**change)) == []
    assert cause(training(), diverged(), **headers) == ("unknown", None)


def test_hash_seeds_of_verify_are_no_cause(cause):
    """Each of its children has its own, on purpose: two runs that a user made may be compared for it."""
    headers = {"a_header": header_of(), "b_header": header_of(hash_seed="2")}
    assert cause(training(), diverged(), **headers) == ("environment", "switch hash_seed differs: 1 and 2")
    assert cause(training(), diverged(), same_script=True, **headers) == ("unknown", None)


def test_records_without_a_fit_are_explained(cause):
    """Records without a `fit` before them, as a newer or foreign writer may leave them."""
    a, b = (record("epoch", {"weights": {KERNEL: text}}, fit=0, epoch=0) for text in "ab")
    assert cause([a], [b]) == ("unknown", None)
    a, b = (record("start", {"weights": {KERNEL: text}}, fit=0) for text in "ab")
    assert cause([a], [b]) == ("initial_weights", None)


def test_deeply_nested_configuration_is_shortened(cause):
    first, second = 1, 2
    for _ in range(50):
        first, second = [first], [second]
    result, explanation = cause(training(configuration=first), diverged(configuration=second))
    assert result == "configuration"
    assert len(explanation) < 250
