"""Exchange type x-exact: to every binding whose key is exactly the routing key.

wit/exchange.wit says when each function is called; names-with-hyphens become snake_case here.
"""

from wit_world import exports
from wit_world.exports import exchange_type as wit
from wit_world.imports import message

# Bindings live as long as the instance. The broker's own table is the truth: this is an index.
bindings: dict[int, str] = {}


class ExchangeType(exports.ExchangeType):
    def describe(self) -> wit.Description:
        return wit.Description(
            types=["x-exact"],
            summary="Routes by exactly the key, in Python",
            arguments=[],
            configuration=[],
            whole_message=False,
        )

    # To refuse the declare: raise componentize_py_types.Err with the text that the client is to see.
    def open(self, exchange: wit.Opening) -> wit.Opened:
        return wit.Opened(inner_type=None)

    def bind(self, slot: int, routing_key: str, arguments: bytes) -> None:
        bindings[slot] = routing_key

    def unbind(self, slot: int) -> None:
        bindings.pop(slot, None)

    def inputs(self) -> wit.Dependence:
        return wit.Dependence_RoutingKey()

    def route(self) -> wit.Answer:
        key = message.routing_key()
        slots = [slot for slot, bound in bindings.items() if bound == key]
        return wit.Answer(decision=wit.Decision_To(slots), set_headers=[])

    def due(self) -> wit.Answer:
        return self.route()
