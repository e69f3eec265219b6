"""Hostile files and names: nothing runs, nothing expands, nothing gets into FRR's configuration or the report."""

import ast
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from run_folders import make_run
from safetensors.numpy import save

from agent import messages
from agent.config import load_config
from agent.control import MalformedMessage, Result, Status, Topics, encode
from coordinator.mqtt import read_message
from emulation.frrconf import ospfd_conf, zebra_conf
from emulation.inputs import INPUTS_FILE, read_inputs
from emulation.report import write_report
from policy.checkpoint import load_checkpoint, random_parameters, save_checkpoint
from policy.preset import PRESETS
from routing.errors import InputError
from routing.formats import load_network, load_topology, save_topology
from routing.graphml import read_graphml
from routing.sndlib_xml import read_xml
from routing.topology import Topology
from routing.traffic import load_traffic

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agent", "baselines", "coordinator", "emulation", "experiments", "policy", "routing", "trainer")


class Payload:
    """A pickle that leaves a file where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, (f"open({str(self.mark)!r}, 'w').close()",)


def hostile_names() -> list[str]:
    return [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "!",
        "a b",
        "ip ospf cost 1",
        "&lt;",
        "[red]x",
    ]


# ---- checkpoints


def header(**entries: object) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def hostile_checkpoints(mark: Path) -> dict[str, bytes]:
    pickled = pickle.dumps(Payload(mark))
    archive = io.BytesIO()
    np.savez(archive, allow_pickle=True, weights=np.array([Payload(mark)], dtype=object))
    return {
        "pickle": pickled,
        "torch's zip of pickles": archive.getvalue(),
        "pickle behind a length": struct.pack("<Q", len(pickled)) + pickled,
        "pickle as a tensor's data": header(x=tensor([len(pickled)], 0, len(pickled), "U8")) + pickled,
        "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
        "header of 100 MB, announced": struct.pack("<Q", 10**8) + b"{}",
        "header longer than the file": struct.pack("<Q", 1000) + b"{}",
        "header that nests": struct.pack("<Q", 60_000) + b"[" * 60_000,
        "offsets beyond the end": header(x=tensor([10**9], 0, 4 * 10**9)) + bytes(8),
        "offsets backwards": header(x=tensor([2], 8, 0)) + bytes(8),
        "offsets that overlap": header(x=tensor([2], 0, 8), y=tensor([2], 4, 12)) + bytes(12),
        "shape that overflows": header(x=tensor([2**40, 2**40], 0, 8)) + bytes(8),
        "shape that is not the data's": header(x=tensor([100], 0, 8)) + bytes(8),
        "a type that is none": header(x=tensor([2], 0, 8, "OBJ")) + bytes(8),
        "metadata that is no text": header(__metadata__={"format": [1]}, x=tensor([2], 0, 8)) + bytes(8),
        "another format": save({"x": np.zeros(2, np.float32)}, {"format": "other", "preset": "{}"}),
    }


@pytest.mark.parametrize("name", hostile_checkpoints(Path("/nowhere")))
def test_a_hostile_checkpoint_is_refused_and_runs_nothing(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    path = tmp_path / "policy.safetensors"
    path.write_bytes(hostile_checkpoints(mark)[name])
    with pytest.raises(InputError) as raised:
        load_checkpoint(path)
    assert "\n" not in str(raised.value)
    assert not mark.exists()


def test_the_pickle_would_have_run(tmp_path: Path) -> None:
    """Else the test above proves nothing."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "it ran")))
    assert (tmp_path / "it ran").exists()


def test_a_preset_that_asks_for_much_memory_allocates_none(tmp_path: Path) -> None:
    preset = PRESETS["default"]
    path = tmp_path / "policy.safetensors"
    save_checkpoint(path, preset, random_parameters(preset, 1))
    huge = json.loads(preset.to_json())
    huge["readout"] = [2**40, 1]
    metadata = {"format": "lockstep-checkpoint-1", "preset": json.dumps(huge)}
    path.write_bytes(save({"x": np.zeros(2, np.float32)}, metadata))
    with pytest.raises(InputError):
        load_checkpoint(path)


# ---- arrays


def test_arrays_run_no_pickles(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    objects = np.array([Payload(mark)], dtype=object)
    net = Topology.from_links("pair", ("a", "b"), [(0, 1), (1, 0)], 1.0)
    np.save(tmp_path / "t.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "t.npz", allow_pickle=True, demand=objects)
    make_run(tmp_path)
    with np.load(tmp_path / INPUTS_FILE) as stored:
        np.savez(tmp_path / INPUTS_FILE, allow_pickle=True, **{**dict(stored), "traffic": objects})
    for read in (
        lambda: load_traffic(tmp_path / "t.npy", net),
        lambda: load_traffic(tmp_path / "t.npz", net),
        lambda: read_inputs(tmp_path),
    ):
        with pytest.raises(InputError):
            read()
    assert not mark.exists()


def test_archives_do_not_unpack_without_bound(tmp_path: Path) -> None:
    """A megabyte that unpacks to a gigabyte is read only as far as a matrix can reach."""
    net = Topology.from_links("pair", ("a", "b"), [(0, 1), (1, 0)], 1.0)
    np.savez_compressed(tmp_path / "bomb.npz", demand=np.zeros((1 << 14, 1 << 13)))
    make_run(tmp_path)
    with np.load(tmp_path / INPUTS_FILE) as stored:
        arrays = dict(stored)
    np.savez_compressed(tmp_path / INPUTS_FILE, **{**arrays, "traffic": np.zeros((1 << 13, 1 << 13))})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"array of shape \(16384, 8192\)"):
        load_traffic(tmp_path / "bomb.npz", net)
    with pytest.raises(InputError, match="expected at most"):
        read_inputs(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


# ---- XML

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
DOCTYPES = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]>',
    "quadratic blow-up": f'<!DOCTYPE x [<!ENTITY l9 "{"h" * 100_000}">]>',
    "a local file": '<!DOCTYPE x [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
    "the network": '<!DOCTYPE x [<!ENTITY l9 SYSTEM "http://127.0.0.1:9/x">]>',
    "an external DTD": '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
    "a parameter entity": '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
}
GRAPHML = '<graphml><graph><node id="{}"/><node id="b"/></graph></graphml>'
SNDLIB = '<network><networkStructure><nodes><node id="{}"/></nodes><links/></networkStructure></network>'


@pytest.mark.parametrize("kind", DOCTYPES)
@pytest.mark.parametrize(("read", "document"), [("graphml", GRAPHML), ("sndlib", SNDLIB)])
def test_xml_knows_no_entities(kind: str, read: str, document: str) -> None:
    content = f'<?xml version="1.0"?>{DOCTYPES[kind]}{document.format("&l9;" * 100)}'.encode()
    with pytest.raises(InputError, match=r"document type|DTD"):
        read_graphml(content, "x", "uniform") if read == "graphml" else read_xml(content)


@pytest.mark.parametrize("name", ["bomb.graphml", "bomb.xml", "bomb"])
def test_the_loader_refuses_them_whatever_the_file_is_called(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"{DOCTYPES['billion laughs']}{SNDLIB.format('&l9;')}")
    with pytest.raises(InputError):
        load_network(tmp_path / name)


def test_deep_and_wide_xml_is_refused_without_recursion(tmp_path: Path) -> None:
    for text in ("<graphml>" + "<a>" * 200_000, "<graphml><graph>" + "<node id='x'/>" * 2, "<network>" * 200_000):
        (tmp_path / "deep.graphml").write_text(text)
        with pytest.raises(InputError):
            load_network(tmp_path / "deep.graphml")


def test_no_other_module_reads_xml() -> None:
    """A reader that is added has to refuse document types, too."""
    readers = {path for path, name in imported() if name.split(".")[0] in ("xml", "lxml", "defusedxml")}
    reading = {path for path, name in imported() if name.startswith(("xml.parsers", "xml.etree", "xml.dom", "lxml"))}
    assert {str(path) for path in reading} == {"routing/graphml.py", "routing/sndlib_xml.py"}, readers


# ---- programs


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(), str(path))


def imported() -> Iterator[tuple[Path, str]]:
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module


FORBIDDEN_CALLS = {
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec", "compile",
    "pickle.load", "pickle.loads", "marshal.loads", "yaml.load", "torch.load", "asyncio.create_subprocess_shell",
    "tempfile.mktemp", "input",
}  # fmt: skip


def dangerous(tree: ast.Module) -> list[str]:
    """Calls that run text as a program: through a shell, as Python, or as a pickle."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        plain = any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)
        if name in FORBIDDEN_CALLS and not (name == "torch.load" and plain):
            found.append(f"{node.lineno}: {name}")
        for word in node.keywords:
            value = word.value.value if isinstance(word.value, ast.Constant) else True
            if word.arg in ("shell", "allow_pickle") and value is not False:
                found.append(f"{node.lineno}: {name}({word.arg}=...)")
    return found


def test_no_shell_no_eval_no_pickles() -> None:
    found = [f"{path}:{what}" for path, tree in modules() for what in dangerous(tree)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "os.system('x')",
        "subprocess.run(c, shell=True)",
        "subprocess.run(c, shell=flag)",
        "eval(x)",
        "pickle.loads(x)",
        "torch.load(f)",
    ],
)
def test_the_search_sees(line: str) -> None:
    assert dangerous(ast.parse(line))


# ---- names


def words_of(conf: str) -> list[list[str]]:
    return [line.split() for line in conf.splitlines()]


@pytest.mark.parametrize(
    "name",
    [*hostile_names(), "x\nrouter bgp 1", "x\r\npassword y", "a\0b", "!\nend", "", "é" * 100, "\u2028ip ospf cost 1"],
)
def test_a_nodes_name_cannot_add_to_frrs_configuration(name: str) -> None:
    plain, hostile = ospfd_conf("plain", "10.0.0.1", {"r0-r1": 7}), ospfd_conf(name, "10.0.0.1", {"r0-r1": 7})
    assert words_of(hostile)[1:] == words_of(plain)[1:]
    for conf in (hostile, zebra_conf(name)):
        first = words_of(conf)[0]
        assert first[0] == "hostname" and len(first) == 2
        assert first[1].isascii() and first[1].replace("-", "").isalnum()


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\tb", "a\0b", "\x1b[2J", "a/b", "..", "a+", "#", " a", "\u202e", "\ud800"]
)
def test_names_that_no_router_can_have(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a node's name"):
        Topology.from_links("pair", (name, "b"), [(0, 1), (1, 0)], 1.0)


@pytest.mark.parametrize(
    "interface", ["eth0\nip ospf cost 1", "eth0\n", "eth0 ", "eth0!", "e" * 16, "a/b", "eth0\\0", 'x"y', "ethä"]
)
def test_an_interfaces_name_cannot_add_to_ospfds_commands(interface: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    text = """\
        router = "a"
        topology = "x"
        broker = "unix:/x"
        key_file = "k"
        [[neighbors]]
        router = "b"
        local = "10.0.0.1"
        remote = "10.0.0.2"
        interface = {}
        """
    path.write_text(textwrap.dedent(text).format(json.dumps(interface, ensure_ascii=False).replace("\\\\", "\\\\")))
    with pytest.raises(InputError, match="interface"):
        load_config(path)


@pytest.mark.parametrize("domain", ["a/b", "+", "#", "", "x" * 65, "a\nb", "default\n"])
def test_a_domain_cannot_reach_others_topics(domain: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    lines = ['router = "a"', 'topology = "x"', 'broker = "unix:/x"', 'key_file = "k"', "neighbors = []"]
    path.write_text("\n".join([*lines, f"domain = {json.dumps(domain)}"]))
    with pytest.raises(InputError, match="domain"):
        load_config(path)


TERMINAL = "\x1b[2Jgone\x07\r\nWARNING forged\u202e"
SEEN = "?[2Jgone???WARNING forged?"


def test_what_agents_say_cannot_move_a_terminals_cursor_or_forge_a_line() -> None:
    said = messages.decode(messages.encode(messages.Abort(1, TERMINAL)))
    assert said == messages.Abort(1, SEEN)
    topics = Topics("default")
    result = Result(router="a", episode=1, status="aborted", reason=TERMINAL)
    assert read_message(topics.result("a"), encode(result)).reason == SEEN  # type: ignore[union-attr]
    status = Status(router="a", online=True, waiting_for=[TERMINAL])
    assert read_message(topics.status("a"), encode(status)).waiting_for == [SEEN]  # type: ignore[union-attr]
    with pytest.raises(MalformedMessage, match="expected a printable name"):
        read_message(topics.status("\x1b[2J"), encode(Status(router="\x1b[2J", online=True)))


class Page(HTMLParser):
    """What a browser would make of a report: its elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attrs))))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def report_of(folder: Path, names: list[str], words: str) -> Page:
    """The report of a run whose nodes have these names, and every text in it these words."""
    folder.mkdir()
    make_run(folder)
    with np.load(folder / INPUTS_FILE) as stored:
        arrays = dict(stored)
    old = arrays["nodes"].tolist()
    np.savez(folder / INPUTS_FILE, **{**arrays, "nodes": np.array(names)})
    rename = dict(zip(old, names, strict=True))
    rows = [line.split(",") for line in (folder / "links.csv").read_text().splitlines()]
    quoted = [[row[0], *(_csv(rename.get(cell, cell)) for cell in row[1:3]), *row[3:]] for row in rows]
    (folder / "links.csv").write_text("\n".join(",".join(row) for row in quoted) + "\n")
    for file, keys in (
        ("summary.json", ("topology", "traffic", "reason")),
        ("manifest.json", ("topology", "traffic", "started")),
    ):
        record = json.loads((folder / file).read_text())
        record.update(dict.fromkeys(keys, words))
        if "command" in record:
            record["command"] = [words]
            record["versions"] = {words: words}
        (folder / file).write_bytes(msgspec.json.encode(record))
    write_report(folder)
    return Page((folder / "report.html").read_text())


def _csv(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def test_names_and_texts_cannot_add_to_the_report(tmp_path: Path) -> None:
    plain = report_of(tmp_path / "plain", ["n0", "n1", "n2", "n3", "n4"], "words")
    for number, words in enumerate(hostile_names()):
        names = [f"{words} {node}" for node in range(5)]
        hostile = report_of(tmp_path / str(number), names, words)
        assert not {tag for tag, _ in hostile.found} - {tag for tag, _ in plain.found}
        assert not [found for found in hostile.found if any(name.startswith("on") for name in found[1])]
        assert {tag for tag, _ in hostile.found} & {"script", "img", "iframe", "object", "embed", "base", "link"} == {
            tag for tag, _ in plain.found
        } & {"script", "img", "iframe", "object", "embed", "base", "link"}
        assert any(names[0] in text for text in hostile.text)


def test_a_hostile_name_survives_as_a_name(tmp_path: Path) -> None:
    names = [name for name in hostile_names() if "/" not in name]
    links = [(node, node + 1) for node in range(len(names) - 1)]
    net = Topology.from_links("odd", names, links + [(b, a) for a, b in links], 1e9)
    save_topology(tmp_path / "odd.graphml", net)
    assert load_topology(tmp_path / "odd.graphml").nodes == tuple(names)


def test_a_path_is_never_a_command(tmp_path: Path) -> None:
    """Folders and files called like commands are opened, not run."""
    odd = tmp_path / "$(touch ran); `touch ran` && touch ran #.graphml"
    net = Topology.from_links("pair", ("a", "b"), [(0, 1), (1, 0)], 1.0)
    save_topology(odd, net)
    command = [sys.executable, "-m", "routing.formats", "show", str(odd)]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [odd.name]
