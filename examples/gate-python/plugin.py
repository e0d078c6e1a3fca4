"""An interceptor: refuses what is too long, and writes the length of what is not into a header.

wit/interceptor/interceptor.wit says when each function is called; names-with-hyphens become snake_case
here.
"""

import json
import struct

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import interceptor as wit
from wit_world.imports import message

settings = {"most": 0}


class Interceptor(exports.Interceptor):
    def describe(self) -> wit.Description:
        return wit.Description(
            summary="Bounds the length of messages, in Python",
            configuration=[],
        )

    # To refuse: raise Err with the text that the operator is to see.
    def open(self, opening: wit.Opening) -> None:
        settings.update(json.loads(opening.configuration))
        if settings["most"] < 0:
            raise Err("`most` is not a number of bytes")

    def before_route(self) -> wit.Verdict:
        length, most = message.body_length(), settings["most"]
        if length > most:
            return wit.Verdict_Reject(f"{length} bytes; {most} are allowed")
        if message.header("x-length") is not None:
            return wit.Verdict_Pass()
        # An AMQP field value: its type, here a signed integer of 64 bits, then its bytes.
        value = struct.pack(">cq", b"l", length)
        return wit.Verdict_Stamp([wit.Header(name="x-length", value=value)])
