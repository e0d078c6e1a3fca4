// Exchange type x-exact: to every binding whose key is exactly the routing key.
// wit/exchange.wit says when each function is called; names-with-hyphens become camelCase here.

import { routingKey } from "warren:exchange/message@0.1.0";

// Bindings live as long as the instance. The broker's own table is the truth: this is an index.
const bindings = new Map();

export const exchangeType = {
  describe() {
    return {
      types: ["x-exact"],
      summary: "Routes by exactly the key, in JavaScript",
      arguments: [],
      configuration: [],
      wholeMessage: false,
    };
  },

  // To refuse the declare, throw the text that the client is to see.
  open(exchange) {
    return { innerType: undefined };
  },

  bind(slot, routingKey, args) {
    bindings.set(slot, routingKey);
  },

  unbind(slot) {
    bindings.delete(slot);
  },

  inputs() {
    return { tag: "routing-key" };
  },

  route() {
    const key = routingKey();
    const slots = [];
    for (const [slot, bound] of bindings) if (bound === key) slots.push(slot);
    return { decision: { tag: "to", val: slots }, setHeaders: [] };
  },

  due() {
    return exchangeType.route();
  },
};
