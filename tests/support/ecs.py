"""deploy/ecs as ECS reads it: the files with their values filled in, what ECS
and Fargate want of a task definition beyond the shapes of their API, and a task
whose containers run here, as processes."""

import json
import os
import re
import subprocess

import botocore.session

from support.muster import FINDINGS, TOP
from support.process import Daemon, environment

FOLDER = os.path.join(TOP, "deploy", "ecs")
EXAMPLE = os.path.join(FOLDER, "example.env")
TASKS = ["homeserver.json", "agent.json", "agent-init.json"]

# Units of a processor -> MiB of memory, for those sizes that are used.
FARGATE = {"256": (512, 1024, 2048), "512": (1024, 2048, 3072, 4096),
           "1024": tuple(range(2048, 8193, 1024)),
           "2048": tuple(range(4096, 16385, 1024))}
RANGES = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10),
          "startPeriod": (0, 300)}
SECRET = re.compile(
    r"arn:aws:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+-\w{6}"
    r":(?P<key>[\w-]+):(?P<stage>[\w-]*):(?P<version>[\w-]*)")


def render(name, values=EXAMPLE):
    """subprocess' result of filling one file in."""
    return subprocess.run(
        ["sh", os.path.join(FOLDER, "render.sh"), values,
         os.path.join(FOLDER, name)], text=True, capture_output=True,
        check=False)


def read(name, values=EXAMPLE):
    """One file, filled in, as a document."""
    got = render(name, values)
    assert got.returncode == 0, got
    return json.loads(got.stdout)


def example():
    """{name: value} of example.env."""
    with open(EXAMPLE, encoding="utf-8") as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f
                    if line.strip() and not line.startswith("#"))


# -- what is wanted


def shape_of(service, operation):
    model = botocore.session.get_session().get_service_model(service)
    return model.operation_model(operation).input_shape


def may_be_a_path(text):
    """Of an access point, by the words of EFS' model, which botocore leaves to
    the service."""
    words = botocore.session.get_session().get_service_model(
        "efs").shape_for("Path").metadata
    return (words["min"] <= len(text) <= words["max"]
            and re.search(words["pattern"], text) is not None)


def strange_words(shape, value, at=""):
    """Values that are none of those which the model lists; botocore leaves
    that to the service."""
    if shape.type_name == "structure":
        for key, of in value.items():
            yield from strange_words(shape.members[key], of, f"{at}.{key}")
    elif shape.type_name == "list":
        for n, of in enumerate(value):
            yield from strange_words(shape.member, of, f"{at}[{n}]")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{at}: {value!r} is none of {', '.join(shape.enum)}"


def findings(task):
    """What ECS or Fargate would refuse, or never do, though every value has
    the right type. No finding: []."""
    found = []
    containers = {c["name"]: c for c in task["containerDefinitions"]}
    volumes = {v["name"]: v for v in task.get("volumes", [])}

    def say(text):
        found.append(text)

    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", task["family"]):
        say("family: letters, digits, - and _")
    if int(task["memory"]) not in FARGATE.get(task["cpu"], ()):
        say("cpu and memory: no size of Fargate's")
    if task.get("networkMode") != "awsvpc":
        say("networkMode: Fargate has awsvpc alone")
    if len(containers) != len(task["containerDefinitions"]):
        say("two containers of one name")
    if not any(c.get("essential", True) for c in containers.values()):
        say("no container is essential")
    if not task.get("executionRoleArn") and any(
            c.get("secrets") or c.get("logConfiguration")
            for c in containers.values()):
        say("secrets and logs need an execution role")
    for c in containers.values():
        for text in _of_container(c, containers, volumes):
            say(f"{c['name']}: {text}")
    for v in volumes.values():
        for text in _of_volume(v.get("efsVolumeConfiguration")):
            say(f"volume {v['name']}: {text}")
        if not any(m["sourceVolume"] == v["name"]
                   for c in containers.values()
                   for m in c.get("mountPoints", [])):
            say(f"volume {v['name']}: nobody mounts it")
    if not found and len(in_order(task)) != len(containers):
        say("dependsOn: it goes in a circle")
    return found


def _of_container(c, containers, volumes):
    for dep in c.get("dependsOn", []):
        on = containers.get(dep["containerName"])
        if on is None:
            yield f"dependsOn {dep['containerName']}: there is none"
        elif dep["condition"] == "HEALTHY" and "healthCheck" not in on:
            yield "HEALTHY of one without a health check: it never is"
        elif (dep["condition"] in ("COMPLETE", "SUCCESS")
              and on.get("essential", True)):
            yield f"{dep['condition']} of an essential one ends the task"
    for name in ("stopTimeout", "startTimeout"):
        if not 2 <= c.get(name, 30) <= 120:
            yield f"{name}: 2 to 120 s on Fargate"
    check = c.get("healthCheck")
    if check and check["command"][0] not in ("CMD", "CMD-SHELL"):
        yield "healthCheck: begins with CMD or CMD-SHELL"
    for name, (least, most) in RANGES.items():
        if check and not least <= check.get(name, least) <= most:
            yield f"healthCheck.{name}: {least} to {most}"
    period = c.get("restartPolicy", {}).get("restartAttemptPeriod", 300)
    if not 60 <= period <= 1800:
        yield "restartAttemptPeriod: 60 to 1800 s"
    for p in c.get("portMappings", []):
        if p.get("hostPort", p["containerPort"]) != p["containerPort"]:
            yield "hostPort: as containerPort, in awsvpc"
    names = [x["name"] for x in c.get("environment", []) + c.get(
        "secrets", [])]
    if len(set(names)) != len(names):
        yield "a variable twice"
    for s in c.get("secrets", []):
        fits = SECRET.fullmatch(s["valueFrom"])
        if not fits:
            yield (f"{s['name']}: expected ARN:KEY:STAGE:VERSION; without a "
                   f"key the value is the whole document")
    for m in c.get("mountPoints", []):
        if m["sourceVolume"] not in volumes:
            yield f"mounts {m['sourceVolume']}, which is no volume"
    log = c.get("logConfiguration", {})
    if log.get("logDriver") == "awslogs" and not {
            "awslogs-group", "awslogs-region",
            "awslogs-stream-prefix"} <= set(log.get("options", {})):
        yield "awslogs: group, region and stream-prefix (Fargate)"


def _of_volume(efs):
    if efs is None:
        return
    access = efs.get("authorizationConfig", {})
    encrypted = efs.get("transitEncryption") == "ENABLED"
    if not encrypted and (access.get("iam") == "ENABLED"
                          or access.get("accessPointId")):
        yield "transitEncryption: needed for an access point and for IAM"
    if access.get("accessPointId") and efs.get("rootDirectory", "/") != "/":
        yield "rootDirectory: the access point says it"


def in_order(task):
    """The containers' names as they start; none of those in a circle."""
    waiting = {c["name"]: {d["containerName"] for d in c.get("dependsOn", [])}
               for c in task["containerDefinitions"]}
    order = []
    while True:
        ready = [n for n, on in waiting.items() if on <= set(order)]
        if not ready:
            return order
        order += ready
        for name in ready:
            del waiting[name]


# -- a task that runs


class Container(Daemon):
    def __init__(self, definition, task):
        name = definition["name"]
        super().__init__(name, os.path.join(task.dir, name + ".log"))
        self.definition = definition
        self.task = task

    def _environment(self):
        values = {e["name"]: self.task.here(e["value"])
                  for e in self.definition.get("environment", [])}
        for s in self.definition.get("secrets", []):
            values[s["name"]] = self.task.secret(s["valueFrom"])
        return environment(**{
            "HOME": self.task.dir, **self.task.image_variables, **values, **self.task.more,
            "PATH": f"{self.task.bin}:{os.environ['PATH']}"})

    def argv(self):
        return [self.task.here(a) for key in ("entryPoint", "command")
                for a in self.definition.get(key, [])]

    def program(self, path):
        return os.path.join(self.task.bin, os.path.basename(path))

    def start(self):
        """What the definition says, else what the image is of."""
        program, *rest = self.argv() or [self.name]
        self.launch([self.program(program), *rest], env=self._environment(),
                    cwd=self.task.cwd)

    def healthy(self):
        """Its health check, once; as true or false as ECS takes it."""
        kind, *argv = self.definition["healthCheck"]["command"]
        assert kind == "CMD"
        argv = [self.task.here(a) for a in argv]
        with open(self.log + ".health", "ab") as log:
            return subprocess.run(
                [self.program(argv[0]), *argv[1:]],
                env=self._environment(), cwd=self.task.cwd, stdout=log,
                stderr=log, check=False, timeout=60).returncode == 0

    def reach(self, condition):
        """Waits for what another one depends on."""
        if condition == "HEALTHY":
            check = self.definition["healthCheck"]
            self.wait_for(
                self.healthy, check["startPeriod"] + check["interval"]
                * check["retries"], "its health check passes")
        elif condition != "START":
            code = self.wait_exit(self.definition["startTimeout"])
            assert code == 0 or condition == "COMPLETE", (
                f"{self.name} ended with {code}:\n{self.tail()}")


class Task:
    """The containers of a task definition as processes of this machine, in
    their order, with their own commands and variables. What a container has
    for itself, and a process has not, is moved: paths of mount points to
    folders, ports to free ones."""

    def __init__(self, definition, dir, volumes, secrets, programs, moved=(),
                 cwd=None, more=None, image_variables=None):
        """volumes: {name: folder}; secrets: {ARN: document}; programs: {name:
        path}; moved: (text, text) in place of it; more: variables;
        image_variables: which the definition overrules."""
        self.dir = str(dir)
        self.cwd = cwd or self.dir
        self.bin = os.path.join(self.dir, "bin")
        self.secrets = secrets
        self.more = more or {}
        self.image_variables = image_variables or {}
        os.makedirs(self.bin)
        for name, path in programs.items():
            os.symlink(path, os.path.join(self.bin, name))
        paths = {m["containerPath"]: str(volumes[m["sourceVolume"]])
                 for c in definition["containerDefinitions"]
                 for m in c.get("mountPoints", [])}
        self._moved = [*paths.items(), *moved]
        by_name = {c["name"]: Container(c, self)
                   for c in definition["containerDefinitions"]}
        self.containers = {n: by_name[n] for n in in_order(definition)}

    def here(self, text):
        for there, here in self._moved:
            text = re.sub(rf"(?<![\w.-]){re.escape(there)}(?![\w.-])",
                          lambda _, here=here: here, text)
        return text

    def secret(self, value_from):
        """As ECS finds it: one value of the document."""
        arn, key, _stage, _version = value_from.rsplit(":", 3)
        return json.loads(self.secrets[arn])[key]

    def start(self):
        for container in self.containers.values():
            for dep in container.definition.get("dependsOn", []):
                self.containers[dep["containerName"]].reach(dep["condition"])
            container.start()
        return self

    def stop(self):
        """The other way round; {name: status} of those that ran."""
        codes = {}
        for name, container in reversed(self.containers.items()):
            if container.process is not None:
                codes[name] = container.stop(
                    bound=container.definition["stopTimeout"])
        return codes

    def kill(self):
        for container in self.containers.values():
            container.kill()

    def output(self):
        return {name: c.output() for name, c in self.containers.items()}

    def assert_no_findings(self):
        for name, text in self.output().items():
            assert not FINDINGS.search(text), f"{name}:\n{text}"
