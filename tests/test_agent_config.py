"""An agent's TOML file: the documented one is good, and what is wrong is said with file and key."""

import re
from pathlib import Path

import pytest

import agent.config
from agent.config import AgentConfig, Neighbor, check_against, load_config, load_key
from agent.waiting import Timing
from emulation.agentconf import to_toml
from emulation.crowding import crowding
from routing.errors import InputError
from routing.topology import Topology

LINE = Topology.from_links("line", ["a", "b", "c"], [(0, 1), (1, 0), (1, 2), (2, 1)], 1e9)
MINIMAL = """\
router = "a"
topology = "line.graphml"
broker = "unix:/run/lockstep.sock"
key_file = "domain.key"

[[neighbors]]
router = "b"
local = "10.0.0.1"
remote = "10.0.0.2"
"""


def documented() -> str:
    """Return the example in the module's docstring."""
    text = agent.config.__doc__ or ""
    (example,) = re.findall(r"::\n\n((?:    .*\n|\n)+)", text)
    return "\n".join(line.removeprefix("    ") for line in str(example).splitlines())


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problem(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(InputError) as raised:
        load_config(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_the_documented_example_is_good(tmp_path: Path) -> None:
    text = documented()
    config = load_config(write(tmp_path, text))
    assert config.router == "b"
    assert config.ospf == "/run/frr/ospfd.vty"
    assert config.neighbors == [Neighbor(router="a", interface="eth0", local="10.0.0.2", remote="10.0.0.1")]
    another = '[[neighbors]]\nrouter = "c"\ninterface = "eth1"\nlocal = "10.0.0.5"\nremote = "10.0.0.6"\n'
    whole = load_config(write(tmp_path, f"{text}\n{another}"))
    assert check_against(whole, LINE) == 1


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert (config.port, config.checkpoint, config.domain, config.ospf, config.profile) == (
        5005,
        "default",
        "default",
        "",
        "uniform",
    )
    assert config.timing() == Timing()
    assert check_against(config, LINE) == 0


def test_written_configurations_are_read_back(tmp_path: Path) -> None:
    config = AgentConfig(
        router='a "quoted" näme',
        topology="gbn",
        broker="unix:/run/x y.sock",
        key_file="/k",
        port=1,
        router_ids={"a.b": "1.2.3.4", "ç": "1.2.3.5"},
        neighbors=[Neighbor(router="b\\c", local="fe80::1%eth0", remote="fe80::2%eth0", interface="eth0")],
        hello_s=0.25,
    )
    assert load_config(write(tmp_path, to_toml(config))) == config


def test_paths_are_relative_to_the_file_and_names_stay_names(tmp_path: Path) -> None:
    (tmp_path / "line.graphml").touch()
    text = MINIMAL.replace("key_file", 'checkpoint = "default"\nkey_file')
    config = load_config(write(tmp_path, text))
    assert config.topology == str(tmp_path / "line.graphml")
    assert config.checkpoint == "default"
    assert config.key_file == "domain.key"  # not there: said when it is read


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('router = "a"', "", "Object missing required field `router`"),
        ('router = "a"', 'router = ""', "Expected `str` of length >= 1 - at `$.router`"),
        ('router = "a"', "router = 1", "Expected `str`, got `int` - at `$.router`"),
        ('router = "a"', 'router = "a"\nport = 0', "Expected `int` >= 1 - at `$.port`"),
        ('router = "a"', 'router = "a"\nport = 65536', "Expected `int` <= 65535 - at `$.port`"),
        ('router = "a"', 'router = "a"\nhello_s = 0', "Expected `float` > 0.0 - at `$.hello_s`"),
        ('router = "a"', 'router = "a"\nrouters = 1', "Object contains unknown field `routers`"),
        ('remote = "10.0.0.2"', "", "Object missing required field `remote` - at `$.neighbors[0]`"),
        ('remote = "10.0.0.2"', 'remote = "x"\ndevice = "e"', "Object contains unknown field `device`"),
        ('router = "a"', 'router = "a', "not TOML: Illegal character '\\n' (at line 1, column 12)"),
        ('router = "a"', 'router = "a"\nrouter = "b"', "not TOML: Cannot overwrite a value (at line 2, column 13)"),
        ('router = "a"', 'router = "a"\ndead_s = 0.2', "hello_s 0.33, dead_s 0.2, stall_s 10: expected ascending"),
        ('router = "a"', 'router = "a"\ndead_s = 20', "hello_s 0.33, dead_s 20, stall_s 10: expected ascending"),
        ('router = "a"', 'router = "a"\nstall_s = inf', "hello_s 0.33, dead_s 1.5, stall_s inf: expected ascending"),
        ('router = "a"', 'router = "a"\ndead_s = nan', "Expected `float` > 0.0 - at `$.dead_s`"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in MINIMAL
    assert problem(tmp_path, MINIMAL.replace(old, new, 1)).startswith(expected)


def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"agent\.toml: cannot read the agent's configuration: No such file"):
        load_config(tmp_path / "agent.toml")
    with pytest.raises(InputError, match="cannot read the agent's configuration: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "agent.toml").write_bytes(b"router = '\xff'")
    with pytest.raises(InputError, match="not a UTF-8 text file"):
        load_config(tmp_path / "agent.toml")


def config(**changes: object) -> AgentConfig:
    neighbors = [
        Neighbor(router="a", interface="eth0", local="10.0.0.2", remote="10.0.0.1"),
        Neighbor(router="c", interface="eth1", local="10.0.0.5", remote="10.0.0.6"),
    ]
    ids = {"a": "10.255.0.1", "b": "10.255.0.2", "c": "10.255.0.3"}
    values = {"router": "b", "topology": "line", "broker": "h", "key_file": "k", "ospf": "/vty"}
    return AgentConfig(**{**values, "neighbors": neighbors, "router_ids": ids, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"router": "d"}, "router 'd' is not a node of line"),
        ({"neighbors": config().neighbors[:1]}, "neighbors ['a'], expected ['a', 'c'] for b in line"),
        ({"neighbors": config().neighbors * 2}, "neighbors ['a', 'a', 'c', 'c'], expected ['a', 'c'] for b in line"),
        ({"neighbors": []}, "neighbors [], expected ['a', 'c'] for b in line"),
        ({"router_ids": {"a": "1.1.1.1"}}, "router_ids lacks b, c"),
        (
            {"router_ids": {"a": "1.1.1.1", "b": "1.1.1.2", "c": "1.1.1.1"}},
            "router_ids has 1.1.1.1 twice, expected different ones",
        ),
        (
            {"neighbors": [config().neighbors[0], Neighbor(router="c", local="1.1.1.1", remote="1.1.1.2")]},
            "with ospf every neighbor needs its interface",
        ),
    ],
)
def test_a_configuration_has_to_fit_the_topology(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as raised:
        check_against(config(**changes), LINE, Path("b.toml"))
    assert str(raised.value) == f"b.toml: {expected}"


def test_without_ospf_interfaces_and_ids_may_be_missing() -> None:
    neighbors = [Neighbor(router=name, local="127.0.0.1", remote="127.0.0.2") for name in ("c", "a")]
    assert check_against(config(ospf="", router_ids={}, neighbors=neighbors), LINE) == 1


@pytest.mark.parametrize("size", [16, 32])
def test_a_key_that_only_its_owner_can_read_is_taken(size: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(bytes(range(size)))
    path.chmod(0o600)
    assert load_key(str(path)) == bytes(range(size))
    path.chmod(0o400)
    assert load_key(str(path)) == bytes(range(size))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_could_read_is_not(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(bytes(32))
    path.chmod(mode)
    with pytest.raises(
        InputError, match=f"key: cannot read the domain key: mode {mode:04o}, expected 0600: others could read it"
    ):
        load_key(str(path))


@pytest.mark.parametrize(("size", "said"), [(0, "0"), (15, "15"), (33, "more than 32"), (10**6, "more than 32")])
def test_a_key_of_another_size_is_not(size: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(InputError, match=rf"key: a domain key of {said} bytes, expected 16\.\.32"):
        load_key(str(path))


def test_a_missing_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"key: cannot read the domain key: No such file"):
        load_key(str(tmp_path / "key"))


def test_routers_that_share_a_core_with_many_are_more_patient() -> None:
    assert crowding(17, 2) == crowding(32, 2) == crowding(100, 16) == 1.0
    assert crowding(100, 2) == 3.125
