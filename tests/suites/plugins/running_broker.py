"""pytest plugin: the suites of aio-pika and aiormq get the running broker for a container.

They ask Docker for a RabbitMQ through a module of their own. It is given another answer
before their conftest takes the names from it; the tests stay as they are. aiormq takes its
two fixtures from a file that its source distribution leaves out.
"""

import os
from urllib.parse import urlsplit

import pytest
from tests import docker_client
from yarl import URL

_broker = urlsplit(os.environ["SUITES_AMQP_URL"])


class RunningBroker:
    def __init__(self, *_):
        pass

    def run(self, _image, ports, environment=None):
        # TLS has no listener here, and the tests of it are left out.
        listeners = {port: _broker.port if port == "5672/tcp" else int(port.split("/")[0]) for port in ports}
        return docker_client.ContainerInfo(id="running", ports=listeners, host=_broker.hostname)

    def kill(self, _container):
        pass

    def remove(self, _container):
        pass


docker_client.check_docker_available = docker_client.parse_docker_host
docker_client.DockerClient = RunningBroker


@pytest.fixture(scope="session")
def rabbitmq_container():
    return RunningBroker().run("", ["5672/tcp", "5671/tcp", "15672/tcp", "15671/tcp"])


@pytest.fixture(scope="session")
def amqp_direct_url():
    return URL(os.environ["SUITES_AMQP_URL"]).with_path("//")
