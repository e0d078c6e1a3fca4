// An interceptor: refuses what is too long, and writes the length of what is not into a header.
// wit/interceptor/interceptor.wit says when each function is called; names-with-hyphens become camelCase
// here.

import { bodyLength, header } from "warren:exchange/message@0.1.0";

let most = 0n;

export const interceptor = {
  describe() {
    return { summary: "Bounds the length of messages, in JavaScript", configuration: [] };
  },

  // To refuse, throw the text that the operator is to see.
  open(opening) {
    const bound = JSON.parse(opening.configuration).most;
    if (!(bound >= 0)) throw "`most` is not a number of bytes";
    most = BigInt(bound);
  },

  beforeRoute() {
    const length = bodyLength();
    if (length > most) return { tag: "reject", val: `${length} bytes; ${most} are allowed` };
    if (header("x-length") !== undefined) return { tag: "pass" };
    return { tag: "stamp", val: [{ name: "x-length", value: integer(length) }] };
  },
};

// An AMQP field value: its type, here a signed integer of 64 bits, then its bytes.
function integer(number) {
  const value = new DataView(new ArrayBuffer(9));
  value.setUint8(0, "l".charCodeAt(0));
  value.setBigInt64(1, number);
  return new Uint8Array(value.buffer);
}
