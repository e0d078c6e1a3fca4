"""Runs the tutorial programs together and checks what they print."""

from programs import Programs

from harness.cases import case, equal, main
from harness.pika_client import connected, drain

QUEUES = ["tutorial.hello", "tutorial.work", "tutorial.rpc", "tutorial.confirms"]
EXCHANGES = ["tutorial.logs", "tutorial.direct", "tutorial.topic"]


def clean():
    # The names are fixed, as in a tutorial, so what a broken run left must go.
    with connected() as connection:
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_delete(queue)
        for exchange in EXCHANGES:
            channel.exchange_delete(exchange)


def tutorial(function):
    def cleaned():
        clean()
        try:
            with Programs() as programs:
                function(programs)
        finally:
            clean()

    cleaned.__name__ = function.__name__
    return case(cleaned)


@tutorial
def one_hello_world(programs):
    equal(programs.run("hello_send"), ["sent: Hello World!"], "sender before the receiver")
    receiver = programs.receiver("hello_receive")
    receiver.expect("received: Hello World!")
    programs.run("hello_send")
    receiver.expect("received: Hello World!")
    equal(receiver.interrupt(), [], "more than was sent")


@tutorial
def two_work_is_shared(programs):
    workers = [programs.receiver("work_worker") for _ in range(2)]
    # The first is so long that the other worker has to take the second.
    tasks = ["first" + "." * 50, "second."]
    for task in tasks:
        equal(programs.run("work_send", task), [f"queued: {task}"], "sender")
    received = sorted(worker.line() for worker in workers)
    equal(received, sorted(f"received: {task}" for task in tasks), "one task for each")
    done = sorted(worker.line() for worker in workers)
    equal(done, sorted(f"done: {task}" for task in tasks), "both done")
    for worker in workers:
        equal(worker.interrupt(), [], "nothing was done twice")


@tutorial
def two_busy_worker_gets_no_second_task(programs):
    busy = programs.receiver("work_worker")
    programs.run("work_send", "long" + "." * 300)
    busy.expect("received: long" + "." * 300)
    idle = programs.receiver("work_worker")
    for number in range(4):
        programs.run("work_send", f"short {number}")
    for number in range(4):
        idle.expect(f"received: short {number}", f"done: short {number}")


@tutorial
def two_task_of_a_dead_worker_goes_to_another(programs):
    dying = programs.receiver("work_worker")
    programs.run("work_send", "precious" + "." * 10)
    dying.expect("received: precious" + "." * 10)
    dying.kill()
    other = programs.receiver("work_worker")
    other.expect("received again: precious" + "." * 10, "done: precious" + "." * 10)
    equal(other.interrupt(), [], "done once")


@tutorial
def three_publish_subscribe(programs):
    programs.run("log_send", "nobody", "listens")
    listeners = [programs.receiver("log_receive") for _ in range(2)]
    programs.run("log_send", "for", "all")
    for listener in listeners:
        listener.expect("received: for all")
    listeners[0].interrupt()
    programs.run("log_send", "for the one left")
    listeners[1].expect("received: for the one left")
    equal(listeners[1].interrupt(), [], "more than was sent")


@tutorial
def four_routing(programs):
    errors = programs.receiver("keyed_receive", "direct", "error")
    everything = programs.receiver("keyed_receive", "direct", "info", "warning", "error")
    for key in ("info", "error", "debug", "warning"):
        equal(programs.run("keyed_send", "direct", key, "text"), [f"sent {key}: text"], "sender")
    errors.expect("received error: text")
    everything.expect("received info: text", "received error: text", "received warning: text")
    equal(errors.interrupt() + everything.interrupt(), [], "more than was bound")


@tutorial
def five_topics(programs):
    receivers = {
        pattern: programs.receiver("keyed_receive", "topic", *pattern.split())
        for pattern in ("#", "kern.*", "*.critical", "kern.* *.critical")
    }
    for key in ("kern.critical", "kern.info", "auth.info", "auth.critical", "auth.login.critical"):
        programs.run("keyed_send", "topic", key, "text")
    expected = {
        "#": ["kern.critical", "kern.info", "auth.info", "auth.critical", "auth.login.critical"],
        "kern.*": ["kern.critical", "kern.info"],
        "*.critical": ["kern.critical", "auth.critical"],
        "kern.* *.critical": ["kern.critical", "kern.info", "auth.critical"],
    }
    for pattern, keys in expected.items():
        receivers[pattern].expect(*[f"received {key}: text" for key in keys])
        equal(receivers[pattern].interrupt(), [], f"more than {pattern} matches")


@tutorial
def six_remote_calls(programs):
    server = programs.receiver("rpc_server")
    lines = programs.run("rpc_client", "30", "0", "1", "90")
    equal(
        lines,
        ["fibonacci(30) = 832040", "fibonacci(0) = 0", "fibonacci(1) = 1", "fibonacci(90) = 2880067194370816120"],
        "answers",
    )
    server.expect("asked: 30", "asked: 0", "asked: 1", "asked: 90")


@tutorial
def seven_publisher_confirms(programs):
    for way in ("one-by-one", "together"):
        equal(programs.run("confirmed_send", way, "200"), ["confirmed 200"], way)
        with connected() as connection:
            got = drain(connection.channel(), "tutorial.confirms")
        equal(got, [str(number).encode() for number in range(200)], f"messages published {way}")


if __name__ == "__main__":
    main()
