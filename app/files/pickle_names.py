"""Pickle names: which references in a pickle are words on a list, and which refuse the file.

No name is ever looked up: it stays text, whatever it says.
"""

from __future__ import annotations

import sys
from types import MappingProxyType

from app.files.refused import RefusedAsUnsafe

# Of the standard library: plain values that trainers put beside their weights.
HARMLESS = frozenset(
    {
        "argparse.Namespace",
        "builtins.bool",
        "builtins.bytearray",
        "builtins.bytes",
        "builtins.complex",
        "builtins.dict",
        "builtins.float",
        "builtins.frozenset",
        "builtins.int",
        "builtins.list",
        "builtins.object",
        "builtins.range",
        "builtins.set",
        "builtins.slice",
        "builtins.str",
        "builtins.tuple",
        "_codecs.encode",
        "collections.Counter",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.deque",
        "copyreg._reconstructor",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "functools.partial",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePath",
        "pathlib.PurePosixPath",
        "pathlib.PureWindowsPath",
        "pathlib.WindowsPath",
        "typing.Any",
        "uuid.UUID",
    }
)
# Python 2's and the pickle module's own names for the same.
_OTHER_NAMES = MappingProxyType({"__builtin__": "builtins", "copy_reg": "copyreg", "pathlib._local": "pathlib"})
_PYTHON_2 = frozenset({"commands", "cPickle", "popen2", "os2", "thread", "urllib2", "UserDict", "ConfigParser", "md5"})
# Programs and libraries that run or fetch things and have no part in weights.
_NO_PART = (
    "IPython",
    "cloudpickle",
    "dill",
    "joblib",
    "numpy.testing",
    "numpy.distutils",
    "pip",
    "pkg_resources",
    "requests",
    "setuptools",
    "sympy",
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.serialization",
    "torch.utils.cpp_extension",
    "torch.distributed",
    "torch.storage._load_from_bytes",
)
# Functions of other libraries that make plain values: they become stubs, others that are called refuse the file.
MAKERS = frozenset(
    {
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.numeric._frombuffer",
        "numpy._core.numeric._frombuffer",
        "numpy.dtype",
        "numpy.ndarray",
        "torch.device",
        "torch._utils._rebuild_device_tensor_from_numpy",
        "torch._utils._rebuild_device_tensor_from_cpu_tensor",
        "torch._utils._rebuild_sparse_tensor",
        "torch._utils._rebuild_qtensor",
        "torch._utils._rebuild_meta_tensor_no_storage",
        "torch._utils._rebuild_wrapper_subclass",
        "torch._utils._rebuild_nested_tensor",
    }
)


class Name:
    """`module.qualified_name` as it stands in the file; equal and hashed by identity, so that it may be a key."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def name_of(module: str, qualified: str) -> Name:
    """The name for a reference in a pickle. Raises RefusedAsUnsafe for what no weights refer to."""
    text = f"{_OTHER_NAMES.get(module, module)}.{qualified}"
    top = module.partition(".")[0]
    library = top in sys.stdlib_module_names or top in _OTHER_NAMES or top in _PYTHON_2
    # Since protocol 4 a reference may walk through attributes: torch's `serialization.os.system`.
    through = [part for part in qualified.split(".")[:-1] if part in sys.stdlib_module_names or part.startswith("__")]
    listed = any(text == banned or text.startswith(f"{banned}.") for banned in _NO_PART)
    if (library and text not in HARMLESS) or through or listed or "__" in qualified.rpartition(".")[2][:2]:
        raise RefusedAsUnsafe(f"it refers to {text[:150]}, which weights have no use for: it may be an attack")
    return Name(text)
