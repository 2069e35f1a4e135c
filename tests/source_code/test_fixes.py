"""Fixes for lines as people write them: changed code if possible, else advice."""

from __future__ import annotations

import ast

import pytest

from keras_repro.source_code.fixes import suggest_fix, without_argument

# Lines as people write them, and the same lines made reproducible.
CHANGED = [
    ("np.random.seed(seed)", "np.random.seed(42)"),
    ("random.seed()", "random.seed(42)"),
    ("self.masks = keras.random.SeedGenerator()", "self.masks = keras.random.SeedGenerator(42)"),
    ("local = random.SystemRandom()", "local = random.Random(42)"),
    ("local = random.Random(None)", "local = random.Random(42)"),
    (
        "bits: Any = field(default_factory=np.random.PCG64)",
        "bits: Any = field(default_factory=lambda: np.random.PCG64(42))",
    ),
    ("rng = np.random.default_rng()", "rng = np.random.default_rng(42)"),
    ("rng = np.random.default_rng( )", "rng = np.random.default_rng(42)"),
    ("self.rng = numpy.random.default_rng(None)", "self.rng = numpy.random.default_rng(42)"),
    ("x = default_rng().normal(size=(3, 4))", "x = default_rng(42).normal(size=(3, 4))"),
    ("rng = np.random.RandomState()", "rng = np.random.RandomState(42)"),
    ("self.random = random.Random()", "self.random = random.Random(42)"),
    ("rng = np.random.Generator(np.random.PCG64())", "rng = np.random.Generator(np.random.PCG64(42))"),
    ("seeds = SeedSequence().spawn(4)", "seeds = SeedSequence(42).spawn(4)"),
    ("g = tf.random.Generator.from_non_deterministic_state()", "g = tf.random.Generator.from_seed(42)"),
    (
        "x_train, x_test = train_test_split(x, test_size=0.2)",
        "x_train, x_test = train_test_split(x, test_size=0.2, random_state=42)",
    ),
    ("parts = train_test_split(f(x), y[:10],)", "parts = train_test_split(f(x), y[:10], random_state=42)"),
    ("cv = ShuffleSplit(n_splits=3)", "cv = ShuffleSplit(n_splits=3, random_state=42)"),
    ("cv = ShuffleSplit()", "cv = ShuffleSplit(random_state=42)"),
    ("for a, b in KFold(5, True).split(x):", "for a, b in KFold(5, True, random_state=42).split(x):"),
    (
        "folds = StratifiedKFold(5, shuffle=True).split(x, y)",
        "folds = StratifiedKFold(5, shuffle=True, random_state=42).split(x, y)",
    ),
    ("frame = frame.sample(frac=1)", "frame = frame.sample(frac=1, random_state=42)"),
    ("few = pd.read_csv(p).sample(9)", "few = pd.read_csv(p).sample(9, random_state=42)"),
    (
        "d = d.rejection_resample(f, target_dist=[0.5, 0.5])",
        "d = d.rejection_resample(f, target_dist=[0.5, 0.5], seed=42)",
    ),
    ("a = resample(x, n_samples=9)", "a = resample(x, n_samples=9, random_state=42)"),
    ("cv = RepeatedKFold(n_splits=3)", "cv = RepeatedKFold(n_splits=3, random_state=42)"),
    (
        "a, b = keras.utils.split_dataset(data, left_size=0.8)",
        "a, b = keras.utils.split_dataset(data, left_size=0.8, seed=42)",
    ),
    ("y = tf.nn.fractional_max_pool(x, [2])[0]", "y = tf.nn.fractional_max_pool(x, [2], seed=42)[0]"),
    ("y = tf.nn.fractional_max_pool(x, [2], )", "y = tf.nn.fractional_max_pool(x, [2],  seed=42)"),
    ("r = tf.raw_ops.RandomUniform(shape=s)", "r = tf.raw_ops.RandomUniform(shape=s, seed=42)"),
    ("names = list(set(labels))", "names = sorted(set(labels))"),
    ("names = tuple(set(labels))", "names = tuple(sorted(set(labels)))"),
    ("index = dict(zip(list(set(words)), range(9)))", "index = dict(zip(sorted(set(words)), range(9)))"),
    ("data = data.map(f, 4, deterministic=False)", "data = data.map(f, 4, deterministic=True)"),
    ("options.deterministic = False", "options.deterministic = True"),
    ("data = data.shuffle(1000).batch(32)", "data = data.shuffle(1000, seed=42).batch(32)"),
    ("data = data.shuffle(len(x))", "data = data.shuffle(len(x), seed=42)"),
    ("seed = int(time.time())", "seed = 42"),
    ("run_seed = int(time.time() * 1000) % (2**31)", "run_seed = 42"),
    ("seed = int.from_bytes(os.urandom(4), 'little')", "seed = 42"),
    ("keras.utils.set_random_seed(time.time_ns() % 2**32)", "keras.utils.set_random_seed(42)"),
    ("np.random.seed(None)", "np.random.seed(42)"),
    ("random.seed()", "random.seed(42)"),
    ("trees = ExtraTrees(10, random_state=None).fit(x)", "trees = ExtraTrees(10, random_state=42).fit(x)"),
    ("w = tf.data.Dataset.random().map(f)", "w = tf.data.Dataset.random(seed=42).map(f)"),
    (
        "data = timeseries_dataset_from_array(x, y, 10, shuffle=True)",
        "data = timeseries_dataset_from_array(x, y, 10, shuffle=True, seed=42)",
    ),
    ("gen = SeedGenerator(seed=secrets.randbelow(10**6))", "gen = SeedGenerator(seed=42)"),
    ("x = Dropout(rate, seed=os.getpid())(x)", "x = Dropout(rate, seed=42)(x)"),
    ('p.add_argument("--seed", default=int(time()))', 'p.add_argument("--seed", default=42)'),
    ("k = KMeans(5, random_state=RandomState())", "k = KMeans(5, random_state=RandomState(42))"),
    ("for r in pool.imap_unordered(work, items):", "for r in pool.imap(work, items):"),
    ("for name in {'a', 'b'}:", "for name in sorted({'a', 'b'}):"),
    ("x = {n: i for i, n in enumerate(set(a))}", "x = {n: i for i, n in enumerate(sorted(set(a)))}"),
    ("w = dict(zip({'a', 'b'} | more, [1, 2]))", "w = dict(zip(sorted({'a', 'b'} | more), [1, 2]))"),
    ("files = os.listdir(folder)", "files = sorted(os.listdir(folder))"),
    ("port = os.getpid()", "port = 42"),
    ("key = uuid.uuid4().int", "key = uuid.UUID(int=random.getrandbits(128)).int"),
    ("name = uuid4().hex", "name = uuid.UUID(int=random.getrandbits(128)).hex"),
    ("n = int.from_bytes(os.urandom(4), 'little')", "n = int.from_bytes(random.randbytes(4), 'little')"),
    ("token = secrets.token_hex(8)", "token = random.randbytes(8).hex()"),
    ("rows = [secrets.randbelow(9) for _ in x]", "rows = [random.randrange(9) for _ in x]"),
    ("word = secrets.choice(words)", "word = random.choice(words)"),
    ("bits = secrets.randbits(8)", "bits = random.getrandbits(8)"),
    ("for done in as_completed(futures):", "for done in futures:"),
    ("for f in cf.as_completed(jobs, timeout=9):", "for f in jobs:"),
    ("x = [f.x for f in as_completed({go(i) for i in r})]", "x = [f.x for f in [go(i) for i in r]]"),
    ("elapsed = time.perf_counter() - start", "elapsed = 1.0"),
    ("self.seconds = round(time.time() - self.begin, 2)", "self.seconds = 1.0"),
    ("delta = 0.5 + time.time() % 1.0", "delta = 0.5 + 1.0 % 1.0"),
    ("tick = time.time_ns() % 10", "tick = 1 % 10"),
    ("for path in folder.iterdir():", "for path in sorted(folder.iterdir()):"),
    ("for e in os.scandir(p):", "for e in sorted(os.scandir(p), key=lambda entry: entry.name):"),
    ("bucket = hash(word) % 100", "bucket = zlib.crc32(str(word).encode()) % 100"),
]  # fmt: skip

# Lines that no change of the text fixes, and a word of the advice.
ADVISED = [
    ("started = time.time()", "clock"),
    ("run = datetime.now().isoformat()", "clock"),
    ("t = time.perf_counter_ns()", "clock"),
    ("deadline = time.time() + 60", "clock"),
    ("token = secrets.token_urlsafe()", "constant or a generator"),
    ("files = os.listdir(folder)", "sorted"),
    ("files = list(Path(folder).glob('*.png'))", "sorted"),
    ("for path in folder.iterdir():", "sorted"),
    ("bucket = hash(word) % 100", "zlib.crc32"),
    ("for name in {'a', 'b'}:", "sorted"),
    ("for name in set(names):", "sorted"),
    ('rows = json.load(urllib.request.urlopen("http://localhost/"))', "keep what was fetched in a file"),
    ('rows = requests.get("http://localhost/").json()', "keep what was fetched in a file"),
    ('rate = float(input("rate? "))', "argument"),
]

# Lines for which the advice is to seed first.
SEED_FIRST = [
    "x = np.random.normal(size=(10, 3))",
    "noise = numpy.random.rand(4)",
    "np.random.shuffle(index)",
    "index = np.random.permutation(len(x))",
    "random.shuffle(names)",
    "few = random.sample(items, 2)",
    "frozen = set(random.sample(NAMES, 2))",
    "loss = tf.nn.nce_loss(w, b, labels, inputs, 8, 80)",
    "rate = random.choice([0.1, 0.2])",
    "noise = tf.random.normal((3, 4))",
    "x = tf.random.shuffle(x)",
]

# Reproducible lines.
REPRODUCIBLE = [
    "",
    "x = 1",
    "model.fit(x, y, epochs=3)",
    "rng = np.random.default_rng(7)",
    "rng = np.random.default_rng(seed)",
    "rng = np.random.RandomState(3)",
    "g = random.Random(5)",
    "parts = train_test_split(x, random_state=0)",
    "names = sorted(set(labels))",
    "count = len(set(labels)) + max({1, 2})",
    "files = sorted(glob.glob('*.png'))",
    "seed = options.seed",
    "config = {'units': 3}",
    "frame = frame.sample(frac=1, random_state=1)",
    "data = data.shuffle(100, seed=1)",
    "layer = Dense(units=3, name='time')",
    "timeout = 3",
    "y = rng.normal(size=3)",
    # Calls that take no such argument.
    "folds = KFold(5).split(x)",
    "cv = GroupKFold(3)",
    "y = frame.resample('1h').mean()",
    "batch = self.buffer.sample(32)",
    "action = env.action_space.sample()",
    "few = rng.sample(items, 2)",
    "rng.shuffle(index)",
    "self.random.shuffle(items)",
    "print(f'{loss:.3f}')",
]


@pytest.mark.parametrize(("line", "expected"), CHANGED)
def test_line_is_changed(line: str, expected: str) -> None:
    assert suggest_fix(line) == expected


@pytest.mark.parametrize(("line", "word"), ADVISED)
def test_unfixable_line_has_advice(line: str, word: str) -> None:
    assert word in str(suggest_fix(line))


@pytest.mark.parametrize("line", SEED_FIRST)
def test_advice_is_to_seed_first(line: str) -> None:
    fix = str(suggest_fix(line))
    assert fix.startswith("keras.utils.set_random_seed(42)")
    ast.parse(fix.partition("#")[0])


@pytest.mark.parametrize("line", REPRODUCIBLE)
def test_reproducible_line_has_no_fix(line: str) -> None:
    assert suggest_fix(line) is None


@pytest.mark.parametrize(("line", "expected"), CHANGED)
def test_changed_line_is_valid_python(line: str, expected: str) -> None:
    fix = str(suggest_fix(line))
    for text in (line, fix):
        ast.parse(text + ("\n    pass" if text.endswith(":") else ""))
    # A changed line needs no further change, but a draw from Python's generator needs its seed.
    seed_first = (
        ["keras.utils.set_random_seed(42)  # first of all"]
        if "random." in fix and "random." not in line.replace("np.random.", "")
        else []
    )
    assert suggest_fix(fix) in (None, fix, *seed_first)


@pytest.mark.parametrize(
    "line",
    [
        "x = f(np.random.default_rng(), data.shuffle(3), list(set(y)), hash(z))",
        "parts = train_test_split(x, y, test_size=0.2, stratify=y,",
        "a = 'default_rng()'",
        "x = [train_test_split(",
        "list(set(",
        "{}",
        "{} {a} {0} %s hash(x)",
        "uuid4 {}",
        "tuple(set(f(x)))",
        "tuple(set(a) | set(b))",
        "list(set(a) | set(b))",
        "x = list(set(a)) + list(set(b))",
        "x" * 5000,
    ],
)
def test_odd_lines_raise_no_error(line: str) -> None:
    fix = suggest_fix(line)
    assert fix is None or fix
    try:
        ast.parse(line)
    except SyntaxError:
        return
    if fix is not None and " in place of " not in fix and "sorted(...)" not in fix and "take a" not in fix:
        ast.parse(fix)


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("d = d.map(f, num_parallel_calls=8)", "d = d.map(f)"),
        ("d = d.map(f, num_parallel_calls=tf.data.AUTOTUNE).batch(2)", "d = d.map(f).batch(2)"),
        ("d = d.map(num_parallel_calls=8, map_func=f)", "d = d.map(map_func=f)"),
        ("d = d.map(f)", None),
        ("d = d.map(f, num_parallel_calls=", None),
    ],
)
def test_argument_is_left_out(code: str, changed: str | None) -> None:
    assert without_argument(code, "num_parallel_calls") == changed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("few = frame.sample(100).reset_index()", "few = frame.sample(100, random_state=42).reset_index()"),
        ("few = frame[frame.x > 0].sample(9)", "few = frame[frame.x > 0].sample(9, random_state=42)"),
        ("few = self.rows.sample(9)", "few = self.rows.sample(9, random_state=42)"),
        ("few = frames.sample(9)", None),
        ("few = random.sample(list(frame), 9)", "keras.utils.set_random_seed(42)  # first of all"),
    ],
)
def test_sample_of_a_table_gets_a_seed(line: str, expected: str | None) -> None:
    assert suggest_fix(line, frames={"frame", "self.rows"}) == expected
