// A service: takes messages from one queue of this broker and publishes them to another one, in lower
// case. Grant it `amqp:local`; `config = { source = "in", target = "out" }`.
//
// wit/service/service.wit says what each import does; names-with-hyphens become camelCase here. A result
// that is an error is thrown.

import { Connection, wait } from "warren:service/amqp@0.1.0";
import { configuration, count, running, stopping } from "warren:service/host@0.1.0";

const none = new Uint8Array();

export const service = {
  check(parameter) {},

  plan() {
    return [{ vhost: "", name: "lower", settings: configuration() }];
  },

  run(task) {
    const settings = JSON.parse(task.settings);
    const connection = Connection.open({ uri: "amqp://", name: "Bridge in JavaScript", confirms: true });
    for (const name of [settings.source, settings.target]) {
      connection.declareQueue({
        name, passive: false, durable: true, exclusive: false, autoDelete: false, arguments: none,
      });
    }
    connection.consume({
      queue: settings.source, consumerTag: "", noAck: false, exclusive: false, arguments: none,
      prefetch: 100,
    });
    running();
    const unconfirmed = [];
    while (stopping() === undefined) {
      const batch = connection.receive(100);
      if (batch === undefined) {
        try {
          wait([connection], 10_000n);
        } catch {
          break; // it is to stop
        }
      } else {
        for (let index = 0; index < batch.length(); index += 1) {
          const delivery = batch.delivery(index);
          const text = new TextDecoder().decode(batch.body(index));
          const body = new TextEncoder().encode(text.toLowerCase());
          const number = connection.publish("", settings.target, delivery.properties, body);
          unconfirmed.push([number, delivery.tag]);
        }
        count("messages", BigInt(batch.length()));
      }
      const { upto, failed } = connection.confirmed();
      // Started again, it gets what is not acknowledged once more.
      if (failed.length > 0) throw `${settings.target} has not taken a message`;
      while (unconfirmed.length > 0 && unconfirmed[0][0] <= upto) {
        connection.ack(unconfirmed.shift()[1], false);
      }
    }
    connection.close();
  },
};
