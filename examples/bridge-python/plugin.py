"""A service: takes messages from one queue of this broker and publishes them to another one, in upper
case. Grant it `amqp:local`; `config = { source = "in", target = "out" }`.

wit/service/service.wit says what each import does; names-with-hyphens become snake_case here. A result
that is an error arrives as the exception componentize_py_types.Err.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import service as wit
from wit_world.imports import amqp, broker, host


class Service(exports.Service):
    def check(self, parameter: broker.Parameter) -> None:
        pass

    def plan(self) -> list[wit.Task]:
        return [wit.Task(vhost="", name="upper", settings=host.configuration())]

    def run(self, task: wit.Task) -> None:
        settings = json.loads(task.settings)
        connection = amqp.Connection.open(amqp.Opening("amqp://", "Bridge in Python", True))
        for queue in (settings["source"], settings["target"]):
            connection.declare_queue(amqp.QueueOptions(queue, False, True, False, False, b""))
        connection.consume(amqp.Consuming(settings["source"], "", False, False, b"", 100))
        host.running()
        unconfirmed: list[tuple[int, int]] = []
        while host.stopping() is None:
            batch = connection.receive(100)
            if batch is None:
                try:
                    amqp.wait([connection], 10_000)
                except Exception:
                    break  # it is to stop
            else:
                for index in range(batch.length()):
                    delivery = batch.delivery(index)
                    body = batch.body(index).decode().upper().encode()
                    number = connection.publish("", settings["target"], delivery.properties, body)
                    unconfirmed.append((number, delivery.tag))
                host.count("messages", batch.length())
            confirms = connection.confirmed()
            if confirms.failed:
                # Started again, it gets what is not acknowledged once more.
                raise Err(f"{settings['target']} has not taken a message")
            while unconfirmed and unconfirmed[0][0] <= confirms.upto:
                connection.ack(unconfirmed.pop(0)[1], False)
        connection.close()
