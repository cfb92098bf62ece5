"""Hostile model files: pickles that would touch a marker file by every known route, archives that would bite.

Built from opcodes by hand, so that making them runs nothing either.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

TWO, FOUR = b"\x80\x02", b"\x80\x04"
Make = Callable[[Path], bytes]


def text(value: object) -> bytes:
    raw = str(value).encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def data(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def ref(name: str) -> bytes:
    """GLOBAL."""
    module, _, last = name.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def stack_ref(module: str, name: str) -> bytes:
    """STACK_GLOBAL, which walks through attributes."""
    return text(module) + text(name) + b"\x93"


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return function + b"(" + b"".join(arguments) + b"tR"


STORAGE = b"(" + text("storage") + ref("torch.FloatStorage") + text("0") + text("cpu") + b"K\x01tQ"


def items(*values: bytes) -> bytes:
    return b"](" + b"".join(values) + b"e"


def shell(marker: Path) -> bytes:
    return text(f"touch '{marker}'")


def python(marker: Path) -> bytes:
    return text(f"open({str(marker)!r}, 'w').close()")


def system(marker: Path) -> bytes:
    return call(ref("os.system"), shell(marker))


# Python's own reader would carry these out on this machine: a control checks that it does.
LIVE: Mapping[str, Make] = {
    "os.system": lambda m: TWO + system(m) + b".",
    "posix.system": lambda m: TWO + call(ref("posix.system"), shell(m)) + b".",
    "subprocess.call": lambda m: TWO + call(ref("subprocess.call"), items(text("touch"), text(m))) + b".",
    "subprocess.check_output": lambda m: (
        TWO + call(ref("subprocess.check_output"), items(text("touch"), text(m))) + b"."
    ),
    "builtins.eval": lambda m: TWO + call(ref("builtins.eval"), python(m)) + b".",
    "builtins.exec": lambda m: TWO + call(ref("builtins.exec"), python(m)) + b".",
    "Python 2's eval": lambda m: TWO + call(ref("__builtin__.eval"), python(m)) + b".",
    "builtins.open for writing": lambda m: TWO + call(ref("builtins.open"), text(m), text("w")) + b".",
    "io.open": lambda m: TWO + call(ref("io.open"), text(m), text("w")) + b".",
    "_io.FileIO": lambda m: TWO + call(ref("_io.FileIO"), text(m), text("w")) + b".",
    "codecs.open": lambda m: TWO + call(ref("codecs.open"), text(m), text("w")) + b".",
    "shutil.copy": lambda m: TWO + call(ref("shutil.copy"), text("/dev/null"), text(m)) + b".",
    "timeit.timeit": lambda m: TWO + call(ref("timeit.timeit"), text("0"), python(m)) + b".",
    "code compiled and run": lambda m: (
        TWO + call(ref("builtins.exec"), call(ref("builtins.compile"), python(m), text("x"), text("exec"))) + b"."
    ),
    "a method by attributes": lambda m: (
        FOUR + call(stack_ref("pathlib", "Path.touch"), call(stack_ref("pathlib", "Path"), text(m))) + b"."
    ),
    "a module by attributes": lambda m: FOUR + call(stack_ref("tempfile", "_os.system"), shell(m)) + b".",
    "STACK_GLOBAL": lambda m: FOUR + call(stack_ref("os", "system"), shell(m)) + b".",
    "INST": lambda m: TWO + b"(" + shell(m) + b"ios\nsystem\n.",
    "OBJ": lambda m: TWO + b"(" + ref("os.system") + shell(m) + b"o.",
    "partial": lambda m: TWO + call(call(ref("functools.partial"), ref("os.system")), shell(m)) + b".",
    "map": lambda m: (
        TWO + call(ref("builtins.list"), call(ref("builtins.map"), ref("os.system"), items(shell(m)))) + b"."
    ),
    "getattr of an imported module": lambda m: (
        TWO
        + call(call(ref("builtins.getattr"), call(ref("builtins.__import__"), text("os")), text("system")), shell(m))
        + b"."
    ),
    "operator.methodcaller": lambda m: (
        TWO
        + call(
            call(ref("operator.methodcaller"), text("system"), shell(m)),
            call(ref("importlib.import_module"), text("os")),
        )
        + b"."
    ),
    "a pickle in a pickle": lambda m: TWO + call(ref("pickle.loads"), data(TWO + system(m) + b".")) + b".",
    "BUILD with __setstate__": lambda m: (
        TWO
        + call(ref("types.SimpleNamespace"))
        + b"}"
        + text("__setstate__")
        + ref("os.system")
        + b"sb"
        + shell(m)
        + b"b."
    ),
    "before a broken tail": lambda m: TWO + system(m) + b"0\xff\xff this is no pickle",
    "thrown away": lambda m: TWO + system(m) + b"0}.",
    "as a key": lambda m: TWO + b"}" + system(m) + b"K\x01s.",
    "inside weights": lambda m: TWO + b"}" + text("state_dict") + b"}" + text("w") + system(m) + b"ss.",
    "from the memo": lambda m: TWO + ref("os.system") + b"q\x000h\x00" + shell(m) + b"\x85R.",
    "functools.reduce": lambda m: (
        TWO + call(ref("functools.reduce"), ref("builtins.exec"), items(python(m), b"}")) + b"."
    ),
    "a chain of getattr": lambda m: (
        FOUR
        + call(
            call(
                ref("builtins.getattr"),
                call(ref("builtins.getattr"), call(ref("builtins.__import__"), text("shutil")), text("os")),
                text("system"),
            ),
            shell(m),
        )
        + b"."
    ),
    "subclasses of object": lambda m: (
        FOUR
        + call(stack_ref("builtins", "object.__subclasses__"))
        + b"0"
        + call(stack_ref("builtins", "object.__init__.__objclass__"))
        + b"0"
        + system(m)
        + b"."
    ),
    "a tensor of an evil storage": lambda m: (
        TWO
        + b"("
        + ref("collections.OrderedDict")
        + system(m)
        + b"0)R0"
        + call(ref("collections.OrderedDict"), items(text("w") + system(m) + b"\x86"))
        + b"1N."
    ),
    "a default of a dictionary": lambda m: (
        TWO + call(ref("collections.defaultdict"), ref("os.getcwd")) + system(m) + b"0."
    ),
    "cProfile.run": lambda m: TWO + call(ref("cProfile.run"), python(m)) + b".",
    "protocol 3": lambda m: b"\x80\x03" + system(m) + b".",
    "protocol 5, framed": lambda m: b"\x80\x05\x95" + struct.pack("<Q", len(system(m)) + 1) + system(m) + b".",
    "the oldest protocol": lambda m: f"cos\nsystem\n(S{chr(34)}touch '{m}'{chr(34)}\ntR.".encode(),
    "without a protocol": lambda m: system(m) + b".",
}

# Routes through other libraries, and through what only some readers have.
OTHER: Mapping[str, Make] = {
    "torch.hub.load": lambda m: TWO + call(ref("torch.hub.load"), text(m), text("x")) + b".",
    "torch.load": lambda m: TWO + call(ref("torch.serialization.load"), text(m)) + b".",
    "torch.load by its short name": lambda m: TWO + call(ref("torch.load"), text(m)) + b".",
    "torch's nested bytes": lambda m: (
        TWO + call(ref("torch.storage._load_from_bytes"), data(TWO + system(m) + b".")) + b"."
    ),
    "torch through attributes": lambda m: FOUR + call(stack_ref("torch", "serialization.os.system"), shell(m)) + b".",
    "torch's compiler": lambda m: TWO + call(ref("torch.utils.cpp_extension.load_inline"), text(m), python(m)) + b".",
    "numpy's runstring": lambda m: TWO + call(ref("numpy.testing._private.utils.runstring"), python(m), b"}") + b".",
    "pip.main": lambda m: TWO + call(ref("pip.main"), items(text("install"), text(m))) + b".",
    "any function": lambda m: TWO + call(ref("somewhere.helpers.run"), shell(m)) + b".",
    "cloudpickle": lambda m: TWO + call(ref("cloudpickle.cloudpickle._make_function"), python(m)) + b".",
    "dill": lambda m: TWO + call(ref("dill._dill._create_function"), python(m)) + b".",
    "sympy": lambda m: TWO + call(ref("sympy.core.sympify.sympify"), python(m)) + b".",
    "NEWOBJ": lambda m: TWO + ref("subprocess.Popen") + items(text("touch"), text(m)) + b"\x85\x81.",
    "NEWOBJ_EX": lambda m: FOUR + ref("subprocess.Popen") + items(text("touch"), text(m)) + b"\x85}\x92.",
    "PERSID": lambda m: TWO + b"Pos.system\n.",
    "a persistent id that is no storage": lambda m: TWO + text("os.system") + b"Q.",
    "a persistent id with a function": lambda m: (
        TWO + b"(" + text("storage") + ref("os.system") + text("0") + text("cpu") + b"K\x01tQ."
    ),
    "EXT1": lambda m: TWO + b"\x82\x01.",
    "EXT2": lambda m: TWO + b"\x83\x01\x00.",
    "EXT4": lambda m: TWO + b"\x84\x01\x00\x00\x00.",
    "NEXT_BUFFER": lambda m: b"\x80\x05\x97.",
    "calling a value": lambda m: TWO + call(text("os.system"), shell(m)) + b".",
    "calling a call": lambda m: TWO + call(call(ref("a.Class"), b""), shell(m)) + b".",
    "a hidden name": lambda m: TWO + call(ref("numpy.__import__"), text("os")) + b".",
    "Python 2's commands": lambda m: TWO + call(ref("commands.getoutput"), shell(m)) + b".",
    "a tensor rebuilt from a call": lambda m: (
        TWO + call(ref("torch._utils._rebuild_tensor_v2"), system(m), b"K\x00", b")", b")", b"\x89", b"}") + b"."
    ),
    "a parameter rebuilt from a call": lambda m: (
        TWO + call(ref("torch._utils._rebuild_parameter"), system(m), b"\x88", b"}") + b"."
    ),
    "a dtype that is a function": lambda m: (
        TWO
        + call(ref("torch._utils._rebuild_tensor_v3"), STORAGE, b"K\x00", b")", b")", b"\x89", b"}", ref("os.system"))
        + b"."
    ),
    "copyreg's maker": lambda m: (
        TWO + call(ref("copyreg.__newobj__"), ref("subprocess.Popen"), items(text("touch"), text(m))) + b"."
    ),
    "numpy.load of a pickle": lambda m: TWO + call(ref("numpy.load"), text(m), b"N", b"\x88") + b".",
    "marshal and types": lambda m: (
        TWO + call(ref("types.FunctionType"), call(ref("marshal.loads"), data(b"c")), b"}") + b"."
    ),
    "ctypes": lambda m: TWO + call(ref("ctypes.CDLL"), text(m)) + b".",
    "runpy": lambda m: TWO + call(ref("runpy.run_path"), text(m)) + b".",
    "webbrowser": lambda m: TWO + call(ref("webbrowser.open"), text(f"file://{m}")) + b".",
    "a state for a class itself": lambda m: (
        TWO + ref("torch.nn.Module") + b"}" + text("__call__") + ref("os.system") + b"sb."
    ),
    "a reduction in a module's state": lambda m: (
        TWO + ref("torch.nn.modules.module.Module") + b")\x81}" + text("hook") + system(m) + b"sb."
    ),
    "persistent ids in each other": lambda m: (
        TWO
        + b"("
        + text("storage")
        + b"("
        + text("storage")
        + ref("os.system")
        + text("0")
        + text("cpu")
        + b"K\x01tQ"
        + text("0")
        + text("cpu")
        + b"K\x01tQ."
    ),
    "a rebuilt tensor of any function": lambda m: (
        TWO
        + call(ref("torch._tensor._rebuild_from_type_v2"), ref("os.system"), b"N", b"(" + shell(m) + b"t", b"N")
        + b"."
    ),
}

# What would fill the memory or never end.
BOMBS: Mapping[str, bytes] = {
    "a memo of absurd size": TWO + b"Nr\xff\xff\xff\xff.",
    "a number of absurd length": TWO + b"\x8b" + struct.pack("<i", 10_000_000) + b"\1" * 10_000_000 + b".",
    "a text of absurd length": TWO + b"X\xff\xff\xff\xff.",
    "a text of 2^63 bytes": FOUR + b"\x8d" + struct.pack("<Q", 2**63) + b".",
    "one text copied a million times": (
        TWO
        + text("x" * 100_000)
        + b"q\x00"
        + ref("_codecs.encode")
        + b"q\x01"
        + b"("
        + (b"h\x01h\x00\x85R" * 200_000)
        + b"t."
    ),
    "one list copied a million times": (
        TWO
        + b"]("
        + b"N" * 100_000
        + b"eq\x00"
        + ref("builtins.list")
        + b"q\x01("
        + (b"h\x01h\x00\x85R" * 200_000)
        + b"t."
    ),
    "a part under an endless name, shared": (
        TWO + b"}" + text("x" * 3_000_000) + b"}" + text("y") + b"Nssq\x00](" + b"h\x00" * 100_000 + b"e."
    ),
    "a billion laughs": TWO
    + b"]q\x00"
    + b"".join(b"](" + b"h%c" % n * 10 + b"eq%c" % (n + 1) for n in range(30))
    + b".",
    "tuples nested without end as a key": TWO + b"}" + b")" + b"\x85" * 1_000_000 + b"Ns.",
    "millions of steps": TWO + b"N0" * 3_000_000 + b"N.",
    "a stack that is empty": TWO + b"R.",
    "taken from below a mark": TWO + b"N(0" + b"N(NQ.",
    "nothing at all": TWO,
    "a tensor larger than its storage": TWO
    + call(
        ref("torch._utils._rebuild_tensor_v2"),
        b"(" + text("storage") + ref("torch.FloatStorage") + text("0") + text("cpu") + b"K\x01tQ",
        b"K\x00",
        b"J\x00\x00\x00\x7f\x85",
        b"K\x00\x85",
        b"\x89",
        b"}",
    )
    + b".",
    "a tensor beyond its storage": TWO
    + call(
        ref("torch._utils._rebuild_tensor_v2"),
        b"(" + text("storage") + ref("torch.FloatStorage") + text("0") + text("cpu") + b"K\x01tQ",
        b"K\x01",
        b"K\x01\x85",
        b"K\x01\x85",
        b"\x89",
        b"}",
    )
    + b".",
}

# Strange, but small when read: their depth and their circles are cut.
STRANGE: Mapping[str, bytes] = {
    "marks without values": TWO + b"(" * 1_000_000 + b"1" * 999_999 + b"t.",
    "nested without end": TWO + b"]" * 1_000_000 + b"a" * 999_999 + b".",
    "a list in itself": TWO + b"]q\x00h\x00a.",
}


def archive(pickle: bytes, extra: Mapping[str, bytes] | None = None, method: int = zipfile.ZIP_STORED) -> bytes:
    """A PyTorch archive around a pickle, with one storage of a float."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in {"archive/data.pkl": pickle, "archive/data/0": bytes(4), **(extra or {})}.items():
            packed.writestr(name, content)
    return file.getvalue()


def old_format(tree: bytes, keys: bytes = b"\x80\x02].", before: bytes = b"") -> bytes:
    """The format before PyTorch 1.6 around the pickle of a tree."""
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    return before + magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + tree + keys
