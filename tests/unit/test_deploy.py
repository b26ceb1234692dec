"""What can be said about the deployment files without a container engine or a cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from packaging.requirements import Requirement
from typer.testing import CliRunner

from streams.agents.registry import AGENTS, KEEPERS, MESSENGERS, WATCHERS, AgentName
from streams.cli.main import app
from streams.sandbox.model_server.training import read_training_set
from streams.sandbox.tickets import TRAIN
from streams.settings import check_settings, load_settings
from streams.worker.hard_stop import stop_bound_s

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
IMAGE = f"hedgerow:{VERSION}"
SANDBOX_IMAGE = f"hedgerow-sandbox:{VERSION}"
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
SETTINGS_FILE = DEPLOY / "docker" / "hedgerow.yaml"
MANIFESTS = [
    manifest
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]
#: Values that differ from those in hedgerow.yaml, for every variable that compose passes on.
OTHER_VALUES = {
    "HEDGEROW_BROKER__BOOTSTRAP": "elsewhere:9092",
    "HEDGEROW_TIERS__CHEAP__BASE_URL": "https://api.example.com/v1",
    "HEDGEROW_TIERS__CHEAP__MODEL": "gpt-4o-mini",
    "HEDGEROW_TIERS__CHEAP__API_KEY_ENV": "OPENAI_API_KEY",
    "HEDGEROW_TIERS__BIG__BASE_URL": "https://api.example.com/v1",
    "HEDGEROW_TIERS__BIG__MODEL": "gpt-4o",
    "HEDGEROW_TIERS__BIG__API_KEY_ENV": "OPENAI_API_KEY",
    "HEDGEROW_REVIEW__URL": "postgresql://db/reviews",
}

#: The one process that serves people, and no metrics.
DESK = "hedgerow-desk"
#: What each service runs; settle goes with review, whose store it needs.
SERVED = {agent: agent for agent in AGENTS} | {
    "review": ",".join(("review", *KEEPERS)),
    "watch": ",".join(WATCHERS),
    "notify": ",".join(MESSENGERS),
}


def test_every_agent_is_deployed() -> None:
    """Whatever the registry gains is in compose and Kubernetes, or the tests below see that it is not."""
    assert sorted(agent for agents in SERVED.values() for agent in agents.split(",")) == sorted(get_args(AgentName))


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


def pods() -> list[Any]:
    return [
        pytest.param(manifest["spec"]["template"]["spec"], id=manifest["metadata"]["name"])
        for manifest in (*of_kind("Deployment"), *of_kind("Job"))
    ]


def our_services() -> dict[str, list[str]]:
    return {
        name: service["command"] for name, service in SERVICES.items() if service["image"] in {IMAGE, SANDBOX_IMAGE}
    }


def assert_cli_takes(arguments: list[str]) -> None:
    """--help is answered only once every word before it has found its command or option."""
    asked = CliRunner().invoke(app, [*arguments, "--help"])
    assert asked.exit_code == 0, asked.output
    if "--agents" in arguments:
        assert set(arguments[arguments.index("--agents") + 1].split(",")) <= {*AGENTS, *KEEPERS, *WATCHERS, *MESSENGERS}


# docker-compose.


def compose() -> list[str]:
    """Return the command of Compose, as the engine's plugin or on its own; skip without either."""
    for command in (["docker", "compose"], ["docker-compose"]):
        program = shutil.which(command[0])
        if (
            program
            and subprocess.run([program, *command[1:], "version"], capture_output=True, check=False).returncode == 0
        ):
            return [program, *command[1:]]
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


def test_compose_accepts_the_file() -> None:
    command = [
        *compose(),
        "--file",
        str(ROOT / "docker-compose.yml"),
        "--profile",
        "grafana",
        "--profile",
        "webhooks",
        "--profile",
        "desk",
        "config",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()


@pytest.mark.parametrize("name", our_services())
def test_compose_commands_are_commands_of_the_cli(name: str) -> None:
    assert_cli_takes(our_services()[name])


def test_compose_has_a_worker_service_for_each_agent() -> None:
    agents = {name: command[2] for name, command in our_services().items() if command[:2] == ["worker", "--agents"]}
    assert agents == SERVED
    for agent in agents:
        assert "ports" not in SERVICES[agent], "a published port would keep it from having replicas"
        assert "container_name" not in SERVICES[agent]


def test_one_service_builds_each_image() -> None:
    builds = {name: SERVICES[name]["build"]["target"] for name in our_services() if "build" in SERVICES[name]}
    assert builds == {"topics": "worker", "models": "sandbox"}
    assert set(builds.values()) <= set(stages())


def test_what_needs_the_sandbox_extra_runs_in_the_sandbox_image() -> None:
    needs = {name for name, command in our_services().items() if command[0] in {"demo", "sandbox"}}
    assert needs == {name for name in our_services() if SERVICES[name]["image"] == SANDBOX_IMAGE} == {"models"}


def test_compose_settings_fit_the_other_services() -> None:
    settings = load_settings(SETTINGS_FILE)
    kafka = SERVICES["kafka"]["environment"]
    assert f"PLAINTEXT://{settings.broker.bootstrap}" in kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert set(settings.labels) == set(read_training_set(TRAIN).labels)
    assert settings.metrics.host == "0.0.0.0"
    port = SERVICES["models"]["command"][-1]
    for endpoint in (settings.tiers.cheap, settings.tiers.big):
        assert endpoint.base_url == f"http://models:{port}/v1"
    assert [settings.probed_names(tier) for tier in ("cheap", "big")] == [("cheap",), ("big",)]
    assert f"http://127.0.0.1:{port}/" in SERVICES["models"]["healthcheck"]["test"][-1]
    volumes = dict(volume.split(":")[:2] for volume in SERVICES["review"]["volumes"])
    assert Path(settings.review.url.removeprefix("sqlite:///")).parent == Path(volumes["reviews"])
    for agent in AGENTS:
        assert f"http://127.0.0.1:{settings.metrics.port}/health" in SERVICES[agent]["healthcheck"]["test"][-1]
        grace_s = float(SERVICES[agent]["stop_grace_period"].removesuffix("s"))
        assert grace_s > stop_bound_s(settings.worker)


@pytest.mark.parametrize(
    "variable", [name for name in SERVICES["score"]["environment"] if name.startswith("HEDGEROW_")]
)
def test_a_variable_that_compose_passes_on_overrides_the_file(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings(SETTINGS_FILE)
    monkeypatch.setenv(variable, OTHER_VALUES[variable])
    value: Any = load_settings(SETTINGS_FILE)
    assert value != before
    for name in variable.removeprefix("HEDGEROW_").lower().split("__"):
        value = getattr(value, name)
    assert value == OTHER_VALUES[variable]


def webhook_variables() -> list[dict[str, str]]:
    """Return the variables of compose's and of Kubernetes' notify, the secrets with values."""
    listed = dict(pair.partition("=")[::2] for pair in SERVICES["notify"]["environment"])
    (deployment,) = [each for each in of_kind("Deployment") if each["metadata"]["name"] == "hedgerow-notify"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    secrets = {"WEBHOOK_URL": "https://hooks.test/x", "WEBHOOK_SECRET": "a secret of some length"}
    kubernetes = {each["name"]: each.get("value") or secrets[each["name"]] for each in container["env"]}
    return [{name: value or secrets.get(name, "") for name, value in listed.items()}, kubernetes]


@pytest.mark.parametrize("place", [0, 1], ids=["compose", "kubernetes"])
def test_notify_has_a_webhook_whose_address_and_secret_come_from_the_environment(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in webhook_variables()[place].items():
        if value:
            monkeypatch.setenv(name, value)
    settings = load_settings(SETTINGS_FILE)
    assert settings.default_agents[-2:] == MESSENGERS
    (webhook,) = settings.webhooks
    assert str(webhook.address()) == "https://hooks.test/x"
    assert webhook.secret() is not None


def test_mounted_files_are_there() -> None:
    mounts = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert not [mount for mount in mounts if mount.startswith(".") and not (ROOT / mount).exists()]


def test_images_name_a_version_and_no_host() -> None:
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - set(stages())
    containers = [container for pod in pods() for container in pod.values[0]["containers"]]
    for image in [*bases, *(part["image"] for part in (*SERVICES.values(), *containers))]:
        name, _, version = image.partition(":")
        assert version not in {"", "latest"}
        assert re.fullmatch(r"[a-z0-9-]+(/[a-z0-9-]+)?", name), image


# The image.


def stages() -> list[str]:
    return re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)


def pinned(lock: str) -> set[str]:
    """Return ``name==version`` of every package in a lock."""
    return set(re.findall(r"^([\w.-]+==[^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_an_image_without_a_target_is_the_workers() -> None:
    assert stages()[-1] == "worker"


def test_the_images_hold_what_was_tested_and_no_tool_of_the_developers() -> None:
    worker, sandbox, memory = (pinned(f"requirements-{name}.lock") for name in ("worker", "sandbox", "memory"))
    assert worker | sandbox | memory <= pinned("requirements.lock")
    names = {pin.partition("==")[0] for pin in worker}
    extras = PROJECT["project"]["optional-dependencies"]
    assert not names & {Requirement(line).name for name in ("river", "sandbox", "memory") for line in extras[name]}
    assert {Requirement(line).name for line in extras["memory"]} <= {pin.partition("==")[0] for pin in memory}
    assert {Requirement(line).name for line in (*PROJECT["project"]["dependencies"], *extras["postgres"])} <= names
    (build,) = PROJECT["dependency-groups"]["build"]
    assert Requirement(build).name in names
    tools = {Requirement(line).name for line in PROJECT["dependency-groups"]["dev"] if isinstance(line, str)}
    assert not tools & names
    removed = re.findall(r"pip uninstall --yes (.+)", DOCKERFILE)
    assert removed == [f"{Requirement(build).name} pip"] * 3


def test_the_image_copies_what_its_build_context_has() -> None:
    kept = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == kept
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_runs_hedgerow_and_not_as_root() -> None:
    assert 'ENTRYPOINT ["hedgerow"]' in DOCKERFILE
    assert re.search(r"^USER ([1-9]\d*):\1$", DOCKERFILE, re.MULTILINE)
    assert f"WORKDIR {Path(SERVICES['score']['volumes'][0].split(':')[1]).parent}" in DOCKERFILE


# Kubernetes.


def test_kubernetes_settings_are_accepted() -> None:
    (config,) = of_kind("ConfigMap")
    values = yaml.safe_load(config["data"]["hedgerow.yaml"])
    assert values["endpoints"] in config["data"]
    values["endpoints"] = yaml.safe_load(config["data"][values["endpoints"]])
    settings = check_settings(values, "config.yaml")
    assert [settings.probed_names(tier) for tier in ("cheap", "big")] == [("cheap",), ("big",)]
    assert settings.metrics.host == "0.0.0.0"
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        if deployment["metadata"]["name"] == DESK:
            continue
        assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
            "metrics": settings.metrics.port
        }
        assert pod["terminationGracePeriodSeconds"] > stop_bound_s(settings.worker)
        paths = {"startupProbe": "/health", "readinessProbe": "/ready", "livenessProbe": "/health"}
        for probe, path in paths.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
    (service,) = [each for each in of_kind("Service") if each["metadata"]["name"] != DESK]
    assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [
        (settings.metrics.port, "metrics")
    ]
    for scaler in of_kind("HorizontalPodAutoscaler"):
        assert scaler["spec"]["maxReplicas"] <= settings.topics.partitions


def test_kubernetes_has_a_deployment_for_each_agent_and_a_job_for_the_topics() -> None:
    arguments = {
        deployment["metadata"]["labels"]["component"]: deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        for deployment in of_kind("Deployment")
    }
    assert arguments.pop("prober")[:2] == ["probe", "run"]
    assert arguments.pop("desk")[0] == "desk"
    assert {component: args[2] for component, args in arguments.items()} == SERVED
    assert [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in of_kind("Job")] == [
        ["topics", "create"]
    ]


def test_the_desk_is_reached_by_its_service_with_the_users_of_a_secret() -> None:
    (deployment,) = [each for each in of_kind("Deployment") if each["metadata"]["name"] == DESK]
    (service,) = [each for each in of_kind("Service") if each["metadata"]["name"] == DESK]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = container["args"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports == {"http": arguments[arguments.index("--port") + 1]}
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    users = Path(arguments[arguments.index("--users") + 1])
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    secrets = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
    assert mounts[str(users.parent)] in secrets
    assert deployment["spec"]["replicas"] == 0, "it would not start without its Secret"


def test_composes_desk_is_for_this_host_alone() -> None:
    desk = SERVICES["desk"]
    (published,) = desk["ports"]
    host, _, port = published.split(":")
    assert (host, port) == ("127.0.0.1", desk["command"][desk["command"].index("--port") + 1])
    assert f"http://127.0.0.1:{port}/health" in desk["healthcheck"]["test"][-1]
    assert desk["profiles"], "it would not start without its users file"


@pytest.mark.parametrize("pod", pods())
def test_pods_are_bounded_and_have_no_rights(pod: dict[str, Any]) -> None:
    assert_cli_takes(pod["containers"][0]["args"])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:" in DOCKERFILE
    assert pod["automountServiceAccountToken"] is False
    # A Service called hedgerow-... would put variables of our prefix into the pod.
    assert pod["enableServiceLinks"] is False
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        assert container["image"] == IMAGE
        assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["settings"] == "/etc/hedgerow"
        assert mounts.keys() <= volumes


def test_kubernetes_selectors_meet_pods() -> None:
    labels = [manifest["spec"]["template"]["metadata"]["labels"] for manifest in of_kind("Deployment")]
    selectors = [manifest["spec"]["selector"] for manifest in of_kind("Service")]
    for manifest in (*of_kind("Deployment"), *of_kind("PodDisruptionBudget")):
        selectors.append(manifest["spec"]["selector"]["matchLabels"])
    for selector in selectors:
        assert any(selector.items() <= label.items() for label in labels), selector
    names = {manifest["metadata"]["name"] for manifest in of_kind("Deployment")}
    assert {scaler["spec"]["scaleTargetRef"]["name"] for scaler in of_kind("HorizontalPodAutoscaler")} <= names


# Prometheus and Grafana.


def test_prometheus_asks_every_worker_service() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert tuple(found["names"]) == (*AGENTS, "prober", "watch", "notify")
    assert found["port"] == load_settings(SETTINGS_FILE).metrics.port


def test_dashboard_uses_the_provisioned_datasource() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    panels = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels if "datasource" in panel} == {source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)
    (provider,) = yaml.safe_load((folder / "dashboards" / "hedgerow.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert Path(mounts["./deploy/grafana/dashboard.json"]).parent == Path(provider["options"]["path"])
