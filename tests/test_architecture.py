"""The architecture of docs/architecture.md, read from the code, and the modules that imports load.

Each rule has a test that breaks it.
"""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ledger_builders import training, write
from markdown_it import MarkdownIt

PACKAGE = Path(__file__).parents[1] / "keras_repro"

# The other folders that each folder imports, exactly: an entry that no module needs fails too.
_TABLE = """
cli: _version comparison determinism errors ledger processes provenance report/console storage utils
    workflows/vary
cli/commands: cli comparison comparison/distances determinism errors ledger processes provenance report
    report/charts report/console report/html report/paper root_cause storage workflows workflows/reproduce
    workflows/vary
comparison: comparison/differences comparison/distances errors ledger utils
comparison/differences: ledger utils
comparison/distances: errors ledger storage utils
determinism: errors ledger
ledger: errors storage utils
processes: determinism errors ledger provenance storage utils
provenance: utils
report: comparison errors ledger utils
report/charts: comparison comparison/distances errors ledger report utils
report/console: comparison comparison/distances determinism ledger processes report root_cause storage utils
    workflows/reproduce workflows/vary
report/html: _version comparison comparison/distances ledger report report/charts utils workflows/vary
report/paper: comparison ledger report storage utils
root_cause: source_code storage utils
root_cause/rules: comparison comparison/differences comparison/distances determinism root_cause
    source_code storage utils
source_code: utils
storage: errors utils
training:
training/backends:
training/backends/keras3_tf: determinism source_code training/backends
training/data: source_code storage training/backends training/state
training/data/order: storage
training/data/plans: determinism storage training/backends training/data training/data/order training/state
training/graph: determinism source_code storage training/backends training/state utils
training/held: ledger storage training/recording training/state
training/instrumentation: comparison determinism errors ledger processes provenance source_code storage
    training/backends training/data training/held training/portable training/probes training/recording
    training/resume training/state utils
training/portable: determinism errors training/backends training/graph
training/probes: determinism ledger processes source_code storage training/backends training/data
    training/graph training/recording training/replay training/state utils
training/recording: _version comparison determinism errors ledger provenance storage training/backends
    training/data training/graph training/portable training/state utils
training/replay: comparison/distances determinism errors source_code storage training/backends
    training/data training/graph training/state utils
training/resume: determinism errors ledger source_code storage training/backends training/data/plans
    training/graph training/recording training/state training/user_values utils
training/state: determinism source_code storage training/backends
training/trainer: comparison determinism errors ledger storage training/backends training/data
    training/data/order training/data/plans training/portable training/recording training/resume
    training/state utils
training/user_values: source_code storage training/backends training/state
utils: errors
workflows: comparison errors ledger processes provenance root_cause root_cause/rules source_code storage
    utils
workflows/reproduce: comparison determinism errors ledger processes provenance storage utils
workflows/vary: comparison determinism errors ledger processes root_cause storage utils workflows
"""
IMPORTS = {
    folder: set(others.split())
    for folder, others in (line.split(":") for line in _TABLE.replace("\n    ", " ").strip().splitlines())
}
# The public names: they import from everywhere, and no module of the package imports them.
TOP = {"__init__", "__main__"}
FRAMEWORKS = {"tensorflow", "keras", "tf_keras", "jax", "torch"}
MOST_MODULES, MOST_LINES = 12, 350
# One file per command or rule: these folders grow with what the product can do.
GROWING = {"cli/commands", "lint/rules"}

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def folder_of(module):
    """Return the folder of a module below the package, or its name if it is at the top."""
    if module in MODULES and MODULES[module].name == "__init__.py":
        return "/".join(module.split(".")[1:]) or "__init__"
    _, *folders, name = module.split(".")
    return "/".join(folders) or name


def tree_of(module):
    return ast.parse(MODULES[module].read_text(), str(MODULES[module]))


def imports(tree):
    """Return `(module, inside a function, only for the type checker)` of each import."""

    def walk(node, inside, typing):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside, typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports name the whole path"
                names = [f"{child.module}.{alias.name}" for alias in child.names]
                yield from ((name if name in MODULES else child.module, inside, typing) for name in names)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            checker = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from walk(child, inside or function, typing or checker)

    return list(walk(tree, False, False))


def imported_folders(module, tree):
    """Return the other folders of the package that a module imports from, also for the type checker."""
    names = {name for name, _, _ in imports(tree) if name.split(".")[0] == "keras_repro"}
    return {folder_of(name) for name in names} - {folder_of(module)}


def forbidden_imports(module, tree):
    """Return the folders that a module imports although its own folder may not."""
    folder = folder_of(module)
    if folder in TOP:
        return set()
    forbidden = imported_folders(module, tree) - IMPORTS.get(folder, set())
    for name, inside, typing in imports(tree):
        late = folder == "determinism" and inside
        in_training = folder.split("/")[0] == "training"
        if name.split(".")[0] in FRAMEWORKS and not (typing or late or in_training):
            forbidden.add(name)
    return forbidden


def cycles(graph):
    """Return the groups of nodes that reach each other, of a graph given as `{node: neighbours}`."""

    def reached(start):
        reachable, pending = set(), [start]
        while pending:
            for other in graph.get(pending.pop(), ()):
                if other not in reachable:
                    reachable.add(other)
                    pending.append(other)
        return reachable

    reach = {node: reached(node) for node in graph}
    groups = {frozenset(o for o in reach[n] if n in reach.get(o, ())) for n in graph if n in reach[n]}
    return sorted(map(sorted, groups))


def crowded_folders(modules):
    """Return the folders with too many modules, of `{module: path}`."""
    counts = Counter(folder_of(m) for m, path in modules.items() if path.name != "__init__.py")
    return {folder for folder, n in counts.items() if n > MOST_MODULES and folder not in GROWING}


@pytest.mark.parametrize("module", [m for m in MODULES if folder_of(m) not in TOP])
def test_imports_follow_the_table(module):
    assert forbidden_imports(module, tree_of(module)) == set()


def test_each_entry_of_the_table_is_needed():
    needed = {folder: set() for folder in IMPORTS}
    for module in MODULES:
        if folder_of(module) in IMPORTS:
            needed[folder_of(module)] |= imported_folders(module, tree_of(module))
    assert needed == IMPORTS


@pytest.mark.parametrize(
    ("module", "source", "forbidden"),
    [
        ("keras_repro.ledger.a", "from keras_repro.determinism.seeds import derive", {"determinism"}),
        ("keras_repro.ledger.a", "from keras_repro import determinism", {"determinism"}),
        ("keras_repro.ledger.a", "def f():\n    import keras_repro.comparison.compare", {"comparison"}),
        ("keras_repro.comparison.a", "from keras_repro.ledger import reader", set()),
        ("keras_repro.training.state.a", "from keras_repro.report import text", {"report"}),
        (
            "keras_repro.training.state.a",
            "if TYPE_CHECKING:\n    from keras_repro.training.resume.resume import Resume",
            {"training/resume"},
        ),
        ("keras_repro.report.a", "if 1:\n    import keras_repro.training.state.walk", {"training/state"}),
        ("keras_repro.report.a", "import keras", {"keras"}),
        ("keras_repro.determinism.a", "import tensorflow as tf", {"tensorflow"}),
        ("keras_repro.determinism.a", "def f():\n    import tensorflow as tf", set()),
        (
            "keras_repro.comparison.a",
            "def f():\n    from keras.utils import set_random_seed",
            {"keras.utils"},
        ),
        ("keras_repro.training.state.a", "import keras", set()),
        ("keras_repro.new_folder.a", "from keras_repro.errors import ReproError", {"errors"}),
    ],
)
def test_forbidden_imports_are_found(module, source, forbidden):
    assert forbidden_imports(module, ast.parse(source)) == forbidden


def test_files_and_folders_have_no_cycles():
    files = {m: {n for n, _, _ in imports(tree_of(m)) if n in MODULES} - {m} for m in MODULES}
    assert cycles(files) == []
    assert cycles(IMPORTS) == []
    # A folder counts with all that is below it, training's own folders aside.
    tops = {}
    for folder, others in IMPORTS.items():
        top = folder.split("/")[0]
        tops.setdefault(top, set()).update({o.split("/")[0] for o in others} - {top})
    assert cycles(tops) == []


def test_cycles_are_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
    assert cycles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_training_is_separate_from_the_examination_of_runs():
    above = {"workflows", "root_cause", "report"}
    for folder, others in IMPORTS.items():
        tops = {other.split("/")[0] for other in others}
        if folder.startswith("training"):
            assert not tops & above, folder
        if folder.split("/")[0] in above:
            assert "training" not in tops, folder


def test_folders_and_modules_are_small():
    assert crowded_folders(MODULES) == set()
    long = {m: n for m, path in MODULES.items() if (n := len(path.read_text().splitlines())) > MOST_LINES}
    assert long == {}


def test_crowded_folders_are_found():
    def folder(name, count):
        return {f"keras_repro.{name}.m{i}": Path(f"m{i}.py") for i in range(count)}

    assert crowded_folders(folder("ledger", 12)) == set()
    assert crowded_folders(folder("ledger", 13)) == {"ledger"}
    assert crowded_folders(folder("cli.commands", 13)) == set()


def test_no_module_imports_the_public_names():
    for module in MODULES:
        if folder_of(module) not in TOP:
            assert "keras_repro" not in {name for name, _, _ in imports(tree_of(module))}, module


def test_public_names_are_listed():
    import keras_repro

    assert len(keras_repro.__all__) < 12
    assert dir(keras_repro) == sorted([*keras_repro.__all__, "__version__"])
    for name, where in keras_repro._MODULES.items():
        defined = {
            alias.asname or alias.name if isinstance(node, ast.ImportFrom) else node.name
            for node in tree_of(where).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.ImportFrom) else [None])
        }
        assert name in defined
    with pytest.raises(AttributeError, match="module 'keras_repro' has no attribute 'nothing'"):
        _ = keras_repro.nothing


def test_packages_hold_a_docstring_only():
    for module, path in MODULES.items():
        if path.name == "__init__.py" and module != "keras_repro":
            body = tree_of(module).body
            assert len(body) == 1, f"{module} has more than its docstring"
            assert isinstance(body[0], ast.Expr)


def test_each_module_has_a_docstring():
    for module in MODULES:
        assert ast.get_docstring(tree_of(module)), module


# Private names of the frameworks: only the backends use them.

SEAM = {"keras_repro.training.backends"}
# `determinism` reads switches without a model, also for the command line, and cannot import `training`.
SEAM_EXCEPTIONS = {"keras_repro.determinism.tf_runtime"}
# Private names of the standard library that have no public counterpart.
PRIVATE_NAMES = {
    "sys._getframe": "the frame of a caller; inspect's functions read source files",
    "os._exit": "ends a process without running its exit handlers",
    "threading._shutdown": "joins threads as the interpreter does at its end",
    "atexit._run_exitfuncs": "runs exit handlers as the interpreter does at its end",
    "instance._target": "the function of a threading.Thread",
    "random._urandom": "the source of random.SystemRandom and of secrets",
    "subprocess._args_from_interpreter_flags": "the options of this interpreter, for a child of its kind",
    "parser._actions": "the options of an argparse parser",
}
PRIVATE_MODULE = re.compile(r"(keras\.src|tensorflow\.python)(\.\w+)*")
BY_NAME = {"getattr", "hasattr", "setattr", "delattr", "add_hook"}


def in_seam(module):
    return module in SEAM_EXCEPTIONS or any(f"{module}.".startswith(f"{folder}.") for folder in SEAM)


def own_names(trees):
    """The names that modules define: functions, classes, variables, and attributes of `self` and `cls`."""
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            yield node.attr


def is_own(receiver):
    return isinstance(receiver, ast.Name) and receiver.id in ("self", "cls")


def private_uses(tree):
    """The private modules of a framework that a module names, and `(receiver, name)` of each private name."""
    modules, names = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            modules.add(node.value)
        elif isinstance(node, ast.Attribute):
            modules.add(ast.unparse(node))
            names.append((node.value, node.attr))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in BY_NAME:
            names += [(node.args[0], str(a.value)) for a in node.args[1:2] if isinstance(a, ast.Constant)]
    private = [(r, n) for r, n in names if n.startswith("_") and not n.startswith("__") and not is_own(r)]
    return {m for m in modules if PRIVATE_MODULE.fullmatch(m)}, private


def seam_breaches(tree, own):
    """The private names of a framework that a module outside of the backends uses."""
    modules, names = private_uses(tree)
    used = {f"{ast.unparse(receiver)}.{name}" for receiver, name in names if name not in own}
    return sorted(modules | (used - PRIVATE_NAMES.keys()))


OWN_NAMES = frozenset(own_names(tree_of(m) for m in MODULES if not in_seam(m)))


def test_private_names_of_frameworks_are_used_in_backends_only():
    breaches = {m: seam_breaches(tree_of(m), OWN_NAMES) for m in MODULES if not in_seam(m)}
    assert {m: names for m, names in breaches.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "breaches"),
    [
        ("import keras.src.backend", ["keras.src.backend"]),
        ("from keras import src", ["keras.src"]),
        ("def f():\n    from tensorflow.python.eager import context", ["tensorflow.python.eager.context"]),
        ("hook('keras.src.trainers.trainer')", ["keras.src.trainers.trainer"]),
        ("keras.src.backend.Variable", ["keras.src", "keras.src.backend", "keras.src.backend.Variable"]),
        ("sys.modules.get('tensorflow.python')", ["tensorflow.python"]),
        ("'Texts may name keras.src and tensorflow.python.'", []),
        ("model._functional", ["model._functional"]),
        ("self.model._functional", ["self.model._functional"]),
        ("model._functional = None", ["model._functional"]),
        ("getattr(model, '_functional', None)", ["model._functional"]),
        ("hasattr(model, '_functional')", ["model._functional"]),
        ("setattr(model, '_functional', 1)", ["model._functional"]),
        ("add_hook(Variable, '_initialize', f)", ["Variable._initialize"]),
        ("self._functional", []),
        ("cls._functional", []),
        ("other._own", []),
        ("model.__dict__", []),
        ("sys._getframe(1)", []),
        ("frames._getframe(1)", ["frames._getframe"]),
    ],
)
def test_private_names_are_found(source, breaches):
    assert seam_breaches(ast.parse(source), {"_own"}) == breaches


def test_names_of_the_package_are_no_private_names_of_a_framework():
    source = (
        "class _Kind:\n    _field: int\n    def _method(self):\n        self._attribute = _local = x._other"
    )
    names = {n for n in own_names([ast.parse(source)]) if n.startswith("_")}
    assert names == {"_Kind", "_field", "_method", "_attribute", "_local"}


def test_each_exception_for_private_names_is_needed():
    used = set()
    for module in (m for m in MODULES if not in_seam(m)):
        used |= {f"{ast.unparse(receiver)}.{name}" for receiver, name in private_uses(tree_of(module))[1]}
    assert used >= PRIVATE_NAMES.keys()
    for module in SEAM_EXCEPTIONS:
        assert seam_breaches(tree_of(module), OWN_NAMES)


def test_modules_with_private_names_name_the_checked_versions():
    for module in filter(in_seam, MODULES):
        if private_uses(tree_of(module))[0]:
            text = ast.get_docstring(tree_of(module))
            assert re.search(r"checked with (Keras|TensorFlow) \d", text), module


# Links of the documents.

ROOT = PACKAGE.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def dead_links(document, text):
    """Return the links of a page to missing files or headings of this repository."""
    dead = []
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        for token in block.children or ():
            target = str(token.attrs.get("href") or token.attrs.get("src") or "")
            path, _, heading = target.partition("#")
            if not target or "://" in target:
                continue
            page = document.parent / path if path else document
            if not page.exists() or (heading and heading not in headings(page)):
                dead.append(target)
    return dead


def headings(document):
    """The headings of a page, as a link names them."""
    lines = [
        line.lstrip("#").strip().lower() for line in document.read_text().splitlines() if line[:1] == "#"
    ]
    return {"".join(c for c in line.replace(" ", "-") if c.isalnum() or c in "-_") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_have_a_target(document):
    assert dead_links(document, document.read_text()) == []


def test_dead_links_are_found():
    text = "[a](docs/limits.md) ![b](docs/no.svg)\n\n| [c](README.md#no) |\n|---|\n| [d](no.md) [e](#no) |\n"
    assert dead_links(ROOT / "README.md", text) == ["docs/no.svg", "README.md#no", "no.md", "#no"]
    assert dead_links(ROOT / "README.md", "[a](docs/ledger.md#the-header), [b](https://a.b/c#d)") == []


# Modules that a fresh interpreter has loaded after an import.

HEAVY = {*FRAMEWORKS, "h5py", "matplotlib", "sklearn", "pandas"}


def loaded(code, *arguments):
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in json.loads(output.splitlines()[-1])}


def test_package_loads_only_the_standard_library():
    bare = loaded("pass")
    assert loaded("import keras_repro") - bare <= {"keras_repro", *sys.stdlib_module_names}


def test_command_line_loads_no_heavy_package():
    modules = loaded("import keras_repro.cli.main")
    assert not modules & (HEAVY | {"numpy", "rich", "blake3"})


def test_public_names_load_no_heavy_package():
    assert not loaded("import keras_repro as kr; kr.derive(1, 'a'); kr.ReproError") & HEAVY
    assert not loaded("import keras_repro as kr; kr.compare, kr.Comparison, kr.Divergence") & HEAVY


def test_comparing_loads_no_tensorflow(tmp_path):
    runs = [str(write(tmp_path / name, training())) for name in "ab"]
    code = "import sys\nfrom keras_repro.cli.main import main\n"
    code += "code = main(['compare', *sys.argv[1:]])\nassert code == 0, code"
    modules = loaded(code, *runs)
    assert {"keras_repro", "numpy", "rich"} <= modules
    assert not modules & HEAVY


def test_smoke_tests_exist():
    for line in (ROOT / "tests/smoke.txt").read_text().splitlines():
        path, _, test = line.partition("::")
        assert (ROOT / path).exists(), line
        assert not test or f"def {test.partition('[')[0]}(" in (ROOT / path).read_text(), line
