"""The command line, what it is turned into before anything starts, and the launcher that any Python can parse."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emulation.main import main
from emulation.options import Options, parse
from emulation.plan import prepare, run_folder
from emulation.prerequisites import _missing_capabilities
from routing.errors import InputError
from routing.state import inverse_capacity

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = ROOT / "emulation" / "run.py"


def test_defaults_are_the_documented_ones() -> None:
    options = parse(["gbn"])
    assert options == Options(
        topology="gbn",
        profile=None,
        traffic="uniform",
        load=0.9,
        initial="inverse-capacity",
        seed=0,
        steps=None,
        patience=None,
        checkpoint="default",
        share="candidate",
        commit="ordered",
        ecmp=True,
        fabric="mininet",
        spawn="fork",
        broker=None,
        credentials=None,
        insecure_broker=False,
        rate=10e6,
        window_s=8.0,
        out=None,
        json=False,
        cli=False,
        agents=True,
        fail=None,
        fail_router=None,
        replay=None,
    )


def test_every_option_arrives() -> None:
    line = (
        "x.graphml --profile p --traffic t.csv --load 0 --initial random:3 --seed 7 --steps 5 "
        "--patience 2 --checkpoint paper --share logits --no-ecmp --fabric mininet --spawn exec --broker unix:/b "
        "--rate 5 --window 2 --out o --json --cli --no-agents"
    )
    options = parse(line.split())
    assert options.rate == 5e6 and options.load == 0.0 and options.window_s == 2.0
    assert (options.ecmp, options.agents, options.cli, options.json) == (False, False, True, True)
    assert (options.spawn, options.share, options.seed, options.steps, options.patience, options.out) == (
        "exec", "logits", 7, 5, 2, Path("o"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "",
        "gbn other",
        "gbn --nonsense",
        "gbn --load -1",
        "gbn --load nan",
        "gbn --load much",
        "gbn --rate 0",
        "gbn --window inf",
        "gbn --steps 0",
        "gbn --steps 1.5",
        "gbn --patience -1",
        "gbn --seed -1",
        "gbn --seed 9223372036854775808",
        "gbn --share everything",
        "gbn --fabric cisco",
        "gbn --fabric loopback --cli",
        "gbn --fabric loopback --no-agents",
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("run.py: ") and captured.err.count("\n") == 1


def test_traffic_is_scaled_to_the_load_and_live_costs_are_the_defaults() -> None:
    plan = prepare(parse(["gbn", "--load", "0.7", "--initial", "random:1", "--seed", "3"]))
    assert plan.live.mlu == pytest.approx(0.7, rel=1e-9)
    np.testing.assert_array_equal(plan.live_weights, inverse_capacity(plan.topology))
    assert set(plan.start_weights.tolist()) == {1, 2, 3, 4}
    assert plan.steps == 150
    assert prepare(parse(["gbn", "--steps", "4"])).steps == 4


def test_the_profile_follows_the_traffic() -> None:
    uniform, gravity = (prepare(parse(["nsfnet", "--traffic", kind])) for kind in ("uniform", "gravity"))
    assert uniform.topology.capacity.max() != gravity.topology.capacity.max()
    both = prepare(parse(["nsfnet", "--traffic", "gravity", "--profile", "uniform"]))
    np.testing.assert_array_equal(both.topology.capacity, uniform.topology.capacity)


def test_traffic_of_nothing_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "zero.npy", np.zeros((17, 17)))
    with pytest.raises(InputError, match="zero everywhere"):
        prepare(parse(["gbn", "--traffic", str(tmp_path / "zero.npy")]))


def test_an_occupied_folder_is_refused_and_an_empty_one_taken(tmp_path: Path) -> None:
    assert run_folder(tmp_path, "gbn") == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="occupied"):
        run_folder(tmp_path, "gbn")
    with pytest.raises(InputError, match="occupied"):
        run_folder(tmp_path / "file", "gbn")
    with pytest.raises(InputError, match="cannot be made"):
        run_folder(tmp_path / "file" / "below", "gbn")


def test_default_folders_of_runs_at_the_same_time_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {run_folder(None, "gbn") for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.parent == tmp_path / "runs" and "-gbn" in folder.name for folder in folders)


def test_capabilities_are_read_from_the_effective_set() -> None:
    assert _missing_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n") == []
    assert _missing_capabilities("CapEff:\t00000000a80425fb\n") == ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]  # Docker's root


def test_the_launcher_parses_on_old_pythons() -> None:
    tree = ast.parse(LAUNCHER.read_text(), feature_version=(3, 4))
    too_new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Starred, ast.Nonlocal, ast.AsyncFunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, too_new)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None and not node.args.kwonlyargs
            assert all(argument.annotation is None for argument in node.args.args)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print"  # a statement before Python 3


OTHERS = ["python2.7", "python3.6", "python3.8", "python3.12", "/usr/bin/python3"]


@pytest.mark.parametrize("python", OTHERS)
def test_any_python_finds_the_environment(python: str, tmp_path: Path) -> None:
    program = shutil.which(python)
    if program is None or subprocess.run([program, "--version"], capture_output=True).returncode != 0:
        pytest.skip(f"no {python}")
    done = subprocess.run([program, LAUNCHER, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--no-agents" in done.stdout


def test_without_the_environment_the_launcher_says_what_makes_it(tmp_path: Path) -> None:
    (tmp_path / "emulation").mkdir()
    copy = shutil.copy(LAUNCHER, tmp_path / "emulation")
    done = subprocess.run([sys.executable, copy, "gbn"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path}/scripts/setup emulation" in done.stderr
