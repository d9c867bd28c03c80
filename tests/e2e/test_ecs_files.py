"""deploy/ecs against the models of the APIs that it is given to: each file is
sent by botocore, which checks it, to a server that keeps it."""

import copy
import glob
import json
import os
import re

import boto3
import botocore.config
import botocore.exceptions
import pytest
from moto.server import ThreadedMotoServer

from support import ecs
from support.ecs import FOLDER, TASKS, example, findings, read, render

REGION = example()["AWS_REGION"]


@pytest.fixture(scope="module")
def aws():
    """aws(service): a client of a server on loopback that plays AWS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()

    def client(service):
        return boto3.client(
            service, region_name=REGION, aws_access_key_id="a",
            aws_secret_access_key="b",
            endpoint_url=f"http://127.0.0.1:{port}",
            config=botocore.config.Config(proxies={}))
    yield client
    server.stop()


def documents():
    return sorted(os.path.relpath(path, FOLDER) for path in glob.glob(
        os.path.join(FOLDER, "**", "*.json"), recursive=True))


# -- filling in


@pytest.mark.parametrize("name", documents())
def test_every_file_is_filled_in(name):
    got = render(name)
    assert (got.returncode, got.stderr) == (0, "")
    assert not re.search(r"\$\{[A-Z]", got.stdout)
    json.loads(got.stdout)


def test_every_value_is_used():
    used = set()
    for name in documents():
        with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
            used |= set(re.findall(r"\$\{([A-Z_]+)\}", f.read()))
    assert used == set(example())


@pytest.mark.parametrize("old, new, said", [
    ("AP_CONDUIT=", "AP_CONDUI=", "AP_CONDUIT has no value in "),
    ("AP_CONDUIT=fsap-0a000000000000001", "AP_CONDUIT=", "NAME=VALUE"),
    ("SERVER_NAME=any", 'SERVER_NAME="any', "no quotation mark"),
    ("SERVER_NAME=any", "SERVER_NAME=any\\", "no quotation mark"),
    ("SERVER_NAME=", "SERVER_NAME ", "NAME=VALUE"),
    ("SERVER_NAME=anycompany.corp", "SERVER_NAME=anycompany.corp\r",
     "carriage return")])
def test_a_value_that_is_wrong(tmp_path, old, new, said):
    with open(ecs.EXAMPLE, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    (tmp_path / "env").write_text(text.replace(old, new))
    got = render("homeserver.json", str(tmp_path / "env"))
    assert got.returncode == 1 and got.stdout == ""
    assert said in got.stderr


def test_the_later_value_counts(tmp_path):
    with open(ecs.EXAMPLE, encoding="utf-8") as f:
        (tmp_path / "env").write_text(
            f.read() + "AGENT_NAME=bram_zoltan\nAGENT=bram.zoltan\n"
            "AGENT_DEPARTMENT=Field Service\n")
    values = str(tmp_path / "env")
    assert read("agent.json", values)["family"] == "agent-bram_zoltan"
    assert read("access-points/agent-handoff.json", values)[
        "RootDirectory"]["Path"] == "/runtime/Field Service/bram.zoltan"


# -- task definitions and the service


@pytest.mark.parametrize("name", TASKS)
def test_ecs_takes_the_task_definition(aws, name):
    task = read(name)
    kept = aws("ecs").register_task_definition(**task)["taskDefinition"]
    assert kept["family"] == task["family"]
    assert [c["name"] for c in kept["containerDefinitions"]] == [
        c["name"] for c in task["containerDefinitions"]]
    assert list(ecs.strange_words(
        ecs.shape_of("ecs", "RegisterTaskDefinition"), task)) == []
    assert findings(task) == []


def with_a_network(aws, service):
    """Of the network's names those that this server looks up are real."""
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    service = copy.deepcopy(service)
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    network["subnets"] = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")[
            "Subnet"]["SubnetId"] for n, _ in enumerate(network["subnets"])]
    network["securityGroups"] = [ec2.create_security_group(
        GroupName=f"a{name}", Description="x", VpcId=vpc)["GroupId"]
        for name in network["securityGroups"]]
    return service


def test_ecs_takes_the_service(aws):
    service = read("service.json")
    client = aws("ecs")
    client.create_cluster(clusterName=service["cluster"])
    task = read("homeserver.json")
    assert service["taskDefinition"] == task["family"]
    client.register_task_definition(**task)
    kept = client.create_service(**with_a_network(aws, service))["service"]
    assert kept["desiredCount"] == 1
    assert list(ecs.strange_words(
        ecs.shape_of("ecs", "CreateService"), service)) == []
    # Two of them would have one database.
    deployment = service["deploymentConfiguration"]
    assert deployment["maximumPercent"] == 100
    assert deployment["minimumHealthyPercent"] == 0
    assert service["availabilityZoneRebalancing"] == "DISABLED"


def container(task, name):
    return next(c for c in task["containerDefinitions"] if c["name"] == name)


def change(task, path, value):
    """value at "container/key/key", or with "/key" of the task; None: no such
    key."""
    name, *keys, last = path.split("/")
    at = container(task, name) if name else task
    for key in keys:
        at = at[int(key) if key.isdigit() else key]
    last = int(last) if last.isdigit() else last
    if value is None:
        del at[last]
    else:
        at[last] = value
    return task


@pytest.mark.parametrize("path, value", [
    ("/famly", "x"), ("/family", None), ("/cpu", 1024),
    ("conduit/stopTimeout", "60"), ("conduit/healthCheck/command", None),
    ("muster/dependsOn/0/condition", None), ("conduit/essential", "true"),
    ("/volumes/0/efsVolumeConfiguration/fileSystemID", "fs-1"),
    ("register/secrets/0/valuefrom", "x")])
def test_what_botocore_refuses(aws, path, value):
    task = change(read("homeserver.json"), path, value)
    with pytest.raises(botocore.exceptions.ParamValidationError):
        aws("ecs").register_task_definition(**task)


@pytest.mark.parametrize("path, value", [
    ("muster/dependsOn/0/condition", "DONE"), ("/networkMode", "vpc"),
    ("/volumes/0/efsVolumeConfiguration/transitEncryption", "enabled"),
    ("conduit/logConfiguration/logDriver", "cloudwatch"),
    ("/requiresCompatibilities/0", "fargate")])
def test_what_the_model_does_not_list(path, value):
    task = change(read("homeserver.json"), path, value)
    got, = ecs.strange_words(
        ecs.shape_of("ecs", "RegisterTaskDefinition"), task)
    assert repr(value) in got


EFS = "/volumes/0/efsVolumeConfiguration"


@pytest.mark.parametrize("path, value, said", [
    ("/family", "agent-aaron.phillips", "family"),
    ("/memory", "1024", "no size of Fargate's"),
    ("/executionRoleArn", None, "execution role"),
    ("conduit/healthCheck", None, "HEALTHY of one without"),
    ("register/essential", True, "COMPLETE of an essential one"),
    ("conduit/dependsOn", [{"containerName": "muster",
                            "condition": "START"}], "circle"),
    ("register/dependsOn/0/containerName", "condiut", "there is none"),
    ("conduit/stopTimeout", 180, "2 to 120 s"),
    ("conduit/startTimeout", 300, "2 to 120 s"),
    ("conduit/healthCheck/timeout", 1, "2 to 60"),
    ("conduit/healthCheck/command", ["muster"], "begins with CMD"),
    ("muster/restartPolicy/restartAttemptPeriod", 5, "60 to 1800"),
    ("conduit/portMappings/0/hostPort", 80, "as containerPort"),
    ("conduit/environment/1/name", "CONDUIT_CONFIG", "twice"),
    ("conduit/secrets/0/valueFrom", example()["REGISTRATION_SECRET"],
     "the whole document"),
    ("conduit/secrets/0/valueFrom",
     example()["REGISTRATION_SECRET"] + ":token", "ARN:KEY:STAGE:VERSION"),
    ("muster/mountPoints/0/sourceVolume", "state", "no volume"),
    ("muster/mountPoints/1/sourceVolume", "muster", "nobody mounts it"),
    ("conduit/logConfiguration/options/awslogs-stream-prefix", None,
     "awslogs"),
    (EFS + "/transitEncryption", "DISABLED", "needed for an access point"),
    (EFS + "/rootDirectory", "/conduit", "the access point says it")])
def test_what_ecs_would_refuse_or_never_do(path, value, said):
    got = findings(change(read("homeserver.json"), path, value))
    assert got and said in " / ".join(got)


# -- what our own files promise


@pytest.mark.parametrize("name", TASKS)
def test_every_container(name):
    """A user that is not root but where the fleet's own image says otherwise,
    an end that is waited for, a log, no secret in what anybody may read."""
    for c in read(name)["containerDefinitions"]:
        assert c["logConfiguration"]["logDriver"] == "awslogs"
        assert c["stopTimeout"] >= 30
        if name != "agent.json":
            assert c["user"] == "1000:1000"
        for e in c["environment"]:
            assert not re.search("PASSWORD|SECRET|TOKEN$", e["name"])


def test_volumes_are_encrypted_on_the_way_and_behind_access_points():
    mounted = [v["efsVolumeConfiguration"] for name in TASKS
               for v in read(name)["volumes"] if "efsVolumeConfiguration" in v]
    assert len(mounted) == 6
    for efs in mounted:
        assert efs["transitEncryption"] == "ENABLED"
        assert efs["authorizationConfig"]["iam"] == "ENABLED"
        assert efs["authorizationConfig"]["accessPointId"].startswith("fsap-")


def test_an_end_takes_no_longer_than_it_may():
    """Conduit lets requests end for 30 s; muster what runs for 7 s."""
    task = read("homeserver.json")
    assert container(task, "conduit")["stopTimeout"] > 30
    assert container(task, "muster")["stopTimeout"] > 10
    # A container that waits for a token gives up before ECS does.
    token = container(read("agent-init.json"), "token")
    deadline = token["command"][token["command"].index("--deadline") + 1]
    assert int(deadline.removesuffix("s")) < token["startTimeout"]


def test_images_of_tasks_are_made_without_running_them():
    """They are for ARM64, and made on any machine. The volume of the token is
    the user's whom the image runs as."""
    with open(os.path.join(FOLDER, "Dockerfile"), encoding="utf-8") as f:
        lines = f.read().splitlines()
    assert not [line for line in lines if line.startswith("RUN")]
    token = lines[lines.index("FROM agent AS token") + 1:]
    assert token[0].split()[0:3:2] == ["COPY", "--chown=1000:1000"]
    assert (token[0].split()[-1], token[1]) == ("/token", "VOLUME /token")


# -- access points, roles


@pytest.mark.parametrize("name", [
    n for n in documents() if n.startswith("access-points/")])
def test_efs_takes_the_access_point(aws, name):
    wanted = read(name)
    client = aws("efs")
    there = client.create_file_system(CreationToken=name)["FileSystemId"]
    client.create_access_point(
        **{**wanted, "FileSystemId": there, "ClientToken": name})
    assert wanted["PosixUser"] == {"Uid": 1000, "Gid": 1000}
    assert ecs.may_be_a_path(wanted["RootDirectory"]["Path"])


@pytest.mark.parametrize("department, fits", [
    ("_", True), ("Field Service", True), ("Forschung-Süd", True),
    ("R&D", False), ("Q?", False), (".hidden", False), ("D" * 90, False)])
def test_which_departments_an_access_point_may_have(tmp_path, department,
                                                    fits):
    with open(ecs.EXAMPLE, encoding="utf-8") as f:
        (tmp_path / "env").write_text(
            f"{f.read()}AGENT_DEPARTMENT={department}\n", encoding="utf-8")
    for name in ("agent-handoff", "agent-workspace"):
        path = read(f"access-points/{name}.json", str(tmp_path / "env"))[
            "RootDirectory"]["Path"]
        assert f"/{department}/" in path
        assert ecs.may_be_a_path(path) == fits
    # What is refused, the page says.
    with open(os.path.join(ecs.TOP, "docs", "ecs.md"), encoding="utf-8") as f:
        page = f.read()
    assert "`$ # < > ; | & ? { } ^ *`" in page


def grants(name):
    for s in read(f"policies/{name}.json")["Statement"]:
        actions, resources = ([x] if isinstance(x, str) else x
                              for x in (s["Action"], s["Resource"]))
        yield s, actions, resources


POLICIES = ["homeserver-execution", "homeserver-task", "agent-execution",
            "agent-task"]
# What has no resource to be named.
OF_ALL = {"ecr:GetAuthorizationToken", "ssmmessages:CreateControlChannel",
          "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel",
          "ssmmessages:OpenDataChannel"}


@pytest.mark.parametrize("name", POLICIES)
def test_iam_takes_the_policy_and_it_grants_little(aws, name):
    iam = aws("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(
        read("policies/trust.json")))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=(
        json.dumps(read(f"policies/{name}.json"))))
    for s, actions, resources in grants(name):
        assert s["Effect"] == "Allow"
        assert not any("*" in a for a in actions)
        if not set(actions) <= OF_ALL:
            assert "*" not in resources
            # The log's streams, of one group, are the only ones by pattern.
            assert all("*" not in r.removesuffix(":*") for r in resources)


def test_iam_refuses_a_policy_that_is_none(aws):
    broken = copy.deepcopy(read("policies/agent-task.json"))
    broken["Statement"][0]["Does"] = broken["Statement"][0].pop("Effect")
    iam = aws("iam")
    iam.create_role(RoleName="broken", AssumeRolePolicyDocument=json.dumps(
        read("policies/trust.json")))
    with pytest.raises(botocore.exceptions.ClientError,
                       match="MalformedPolicyDocument"):
        iam.put_role_policy(RoleName="broken", PolicyName="all",
                            PolicyDocument=json.dumps(broken))


def granted(name, action):
    return {r for _, actions, resources in grants(name)
            if action in actions for r in resources}


def access_points(task):
    return {v["efsVolumeConfiguration"]["authorizationConfig"][
        "accessPointId"] for v in task["volumes"]
        if "efsVolumeConfiguration" in v}


def may_mount(name):
    return {arn.rsplit("/", 1)[1] for s, actions, _ in grants(name)
            if "elasticfilesystem:ClientMount" in actions
            for arn in s["Condition"]["StringEquals"][
                "elasticfilesystem:AccessPointArn"]}


def test_roles_have_what_the_task_definitions_use_and_no_more():
    task = read("homeserver.json")
    secrets = {s["valueFrom"].rsplit(":", 3)[0]
               for c in task["containerDefinitions"]
               for s in c.get("secrets", [])}
    get = "secretsmanager:GetSecretValue"
    assert granted("homeserver-execution", get) == secrets
    assert may_mount("homeserver-task") == access_points(task)
    # No agent's role reads any secret, or mounts what another one mounts.
    assert granted("agent-execution", get) == set()
    agents = [read("agent.json"), read("agent-init.json")]
    assert may_mount("agent-task") == set().union(*map(access_points, agents))
    assert not may_mount("agent-task") & may_mount("homeserver-task")
    for name, tasks in [("homeserver", [task]), ("agent", agents)]:
        images = {c["image"].split("/")[1].split(":")[0]
                  for t in tasks for c in t["containerDefinitions"]}
        assert {r.rsplit("/", 1)[1] for r in granted(
            f"{name}-execution", "ecr:BatchGetImage")} == images
        groups = {c["logConfiguration"]["options"]["awslogs-group"]
                  for t in tasks for c in t["containerDefinitions"]}
        assert {r.split(":log-group:")[1].removesuffix(":*") for r in granted(
            f"{name}-execution", "logs:PutLogEvents")} == groups
    roots = [a for name in POLICIES for _, actions, _ in grants(name)
             for a in actions if "Root" in a]
    assert roots == []


def test_the_file_system_takes_no_one_unencrypted():
    statement, = read("policies/file-system.json")["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny", {"Bool": {"aws:SecureTransport": "false"}})


# -- the page


def test_the_page_names_every_field_and_every_file():
    with open(os.path.join(ecs.TOP, "docs", "ecs.md"), encoding="utf-8") as f:
        page = f.read()
    fields = set(read("service.json"))
    for name in TASKS:
        task = read(name)
        fields |= set(task)
        for part in task["containerDefinitions"]:
            fields |= set(part)
        for part in task["volumes"]:
            fields |= set(part) | set(part.get("efsVolumeConfiguration", {}))
    # Names, and where the page is about all of one.
    fields -= {"name", "containerDefinitions", "cluster", "serviceName",
               "taskDefinition"}
    named = set(re.findall(r"`(\w+)(?:`|: )", page))
    assert fields - named == set()
    for name in documents():
        folder, _, base = name.rpartition("/")
        assert f"`{folder}/`" in page if folder else f"`{base}`" in page
    filled = set(re.findall(r"fill ([\w/-]+\.json)", page))
    assert filled <= set(documents()) and len(filled) >= 6
