"""The floors of docs/design.md, read from the imports, and what the doors load."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_builders import training, write
from markdown_it import MarkdownIt

PACKAGE = Path(__file__).parents[1] / "keras_repro"

# A floor may import what stands before it; `training` and `present` do not know each other.
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "_version": set(),
    "utils": {"errors"},
    "source_code": {"errors", "utils"},
    "provenance": {"errors", "utils"},
    "storage": {"errors", "utils"},
    "ledger": {"errors", "utils", "storage"},
    "determinism": {"errors", "utils", "storage", "ledger"},
    "comparison": {"errors", "utils", "storage", "ledger"},
    "processes": {"errors", "utils", "storage", "ledger", "determinism", "provenance"},
    "root_cause": {"errors", "utils", "storage", "ledger", "determinism", "comparison", "source_code"},
}
BELOW["workflows"] = BELOW.keys() - {"workflows"}
BELOW["training"] = BELOW.keys() - {"workflows", "root_cause", "training"}
BELOW["report"] = BELOW.keys() - {"training", "report"}
DOORS = {"cli", "pytest_plugin", "integrations", "__init__", "__main__"}
FRAMEWORKS = {"tensorflow", "keras", "tf_keras", "jax", "torch"}

MODULES = sorted(
    ".".join(("keras_repro", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def path_of(module):
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def floor_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def tree_of(module):
    return ast.parse(path_of(module).read_text(), str(path_of(module)))


def imports(tree):
    """`(module, inside a function, only for the type checker)` of each import."""

    def walk(node, inside, typing):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside, typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports name the whole path"
                names = [f"{child.module}.{alias.name}" for alias in child.names]
                known = [name for name in names if name in MODULES]
                yield from ((name, inside, typing) for name in known or [child.module])
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            checker = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from walk(child, inside or function, typing or checker)

    return list(walk(tree, False, False))


def breaches(module, tree):
    """What a module imports and its floor may not."""
    floor = floor_of(module)
    found = []
    for name, inside, typing in imports(tree):
        root = name.split(".")[0]
        if root == "keras_repro":
            other = floor_of(name)
            if floor in BELOW and other not in BELOW[floor] | {floor, "__init__"}:
                found.append(name)
        elif root in FRAMEWORKS and not typing:
            late = floor == "determinism" and inside
            if not (late or floor == "training"):
                found.append(name)
    return found


def test_every_module_has_a_floor():
    assert {floor_of(m) for m in MODULES} <= BELOW.keys() | DOORS
    assert BELOW.keys() <= {floor_of(m) for m in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downwards(module):
    assert breaches(module, tree_of(module)) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("keras_repro.ledger.a", "from keras_repro.determinism.seeds import derive", True),
        ("keras_repro.ledger.a", "from keras_repro import determinism", True),
        ("keras_repro.ledger.a", "def f():\n    import keras_repro.comparison.compare", True),
        ("keras_repro.determinism.a", "from keras_repro.storage import digest", False),
        ("keras_repro.training.a", "from keras_repro.report import console", True),
        ("keras_repro.report.a", "if 1:\n    from keras_repro.training import state", True),
        ("keras_repro.report.a", "import keras", True),
        ("keras_repro.determinism.a", "import tensorflow as tf", True),
        ("keras_repro.determinism.a", "def f():\n    import tensorflow as tf", False),
        ("keras_repro.comparison.a", "def f():\n    from keras.utils import set_random_seed", True),
        ("keras_repro.training.a", "import keras", False),
        ("keras_repro.cli", "from keras_repro.report.console.terminal import print_error", False),
    ],
)
def test_a_breach_is_seen(module, source, found):
    assert bool(breaches(module, ast.parse(source))) == found


def test_no_circles():
    known = {m: {n for n, _, typing in imports(tree_of(m)) if n in MODULES and not typing} for m in MODULES}

    def visit(module, path):
        assert module not in path, " -> ".join([*path, module])
        for other in sorted(known[module] - done - {module, "keras_repro"}):
            visit(other, [*path, module])
        done.add(module)

    done = set()
    for module in MODULES:
        visit(module, [])


def test_the_package_itself_gives_only_its_version_inside():
    """What lies at the top imports from everywhere: inside the house nobody leans on it."""
    for module in set(MODULES) - {"keras_repro"}:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ImportFrom) and node.module == "keras_repro":
                names = {alias.name for alias in node.names}
                assert names <= {"__version__"} | {m.rpartition(".")[2] for m in MODULES}, module
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "keras_repro" or node.attr == "__version__", module


def test_public_names():
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


def test_packages_only_open_the_way():
    for module in MODULES:
        if path_of(module).name == "__init__.py" and module != "keras_repro":
            body = tree_of(module).body
            assert len(body) == 1, f"{module} holds more than its docstring"
            assert isinstance(body[0], ast.Expr)


def test_every_module_says_what_it_is_for():
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
    "parser._actions": "the options of an argparse parser",
}
PRIVATE_MODULE = re.compile(r"(keras\.src|tensorflow\.python)(\.\w+)*")
BY_NAME = {"getattr", "hasattr", "setattr", "delattr", "wrap_function_wrapper"}


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
        ("wrapt.wrap_function_wrapper(Variable, '_initialize', f)", ["Variable._initialize"]),
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


def test_each_exception_of_the_seam_is_needed():
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


# What the documents point to.

ROOT = PACKAGE.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def dead_links(document, text):
    """The links of a page into this repository that lead nowhere."""
    found = []
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        for token in block.children or ():
            target = str(token.attrs.get("href") or token.attrs.get("src") or "")
            path, _, heading = target.partition("#")
            if not target or "://" in target:
                continue
            where = document.parent / path if path else document
            if not where.exists() or (heading and heading not in headings(where)):
                found.append(target)
    return found


def headings(document):
    """The headings of a page, as a link names them."""
    lines = [
        line.lstrip("#").strip().lower() for line in document.read_text().splitlines() if line[:1] == "#"
    ]
    return {"".join(c for c in line.replace(" ", "-") if c.isalnum() or c in "-_") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_lead_somewhere(document):
    assert dead_links(document, document.read_text()) == []


def test_a_dead_link_is_seen():
    text = "[a](docs/limits.md) ![b](docs/no.svg)\n\n| [c](README.md#no) |\n|---|\n| [d](no.md) [e](#no) |\n"
    assert dead_links(ROOT / "README.md", text) == ["docs/no.svg", "README.md#no", "no.md", "#no"]
    assert dead_links(ROOT / "README.md", "[a](docs/ledger.md#the-header), [b](https://a.b/c#d)") == []


# What a fresh interpreter has loaded afterwards.

HEAVY = {*FRAMEWORKS, "h5py", "matplotlib", "sklearn", "pandas"}


def loaded(code, *arguments):
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in json.loads(output.splitlines()[-1])}


def test_the_package_loads_next_to_nothing():
    bare = loaded("pass")
    assert loaded("import keras_repro") - bare <= {"keras_repro", *sys.stdlib_module_names}


def test_the_door_loads_next_to_nothing():
    found = loaded("import keras_repro.cli.main")
    assert not found & (HEAVY | {"numpy", "rich", "blake3"})


def test_a_name_brings_only_what_it_needs():
    assert not loaded("import keras_repro as kr; kr.derive(1, 'a'); kr.ReproError") & HEAVY
    assert not loaded("import keras_repro as kr; kr.compare, kr.Comparison, kr.Divergence") & HEAVY


def test_comparing_loads_no_tensorflow(tmp_path):
    runs = [str(write(tmp_path / name, training())) for name in "ab"]
    code = "import sys\nfrom keras_repro.cli.main import main\n"
    code += "code = main(['compare', *sys.argv[1:]])\nassert code == 0, code"
    found = loaded(code, *runs)
    assert {"keras_repro", "numpy", "rich"} <= found
    assert not found & HEAVY
