//! What `wit/service` looks like from the host, generated. No behaviour of ours.

wasmtime::component::bindgen!({
    path: "../wit/service",
    world: "warren:service/everything",
    imports: {
        "warren:service/host.sleep": async | trappable,
        "warren:service/broker.clear-parameter": async | trappable,
        "warren:service/state.put": async | trappable,
        "warren:service/state.remove": async | trappable,
        "warren:service/amqp.[static]connection.open": async | trappable,
        "warren:service/amqp.[method]connection.declare-queue": async | trappable,
        "warren:service/amqp.[method]connection.declare-exchange": async | trappable,
        "warren:service/amqp.[method]connection.bind": async | trappable,
        "warren:service/amqp.[method]connection.unbind": async | trappable,
        "warren:service/amqp.[method]connection.delete-queue": async | trappable,
        "warren:service/amqp.[method]connection.delete-exchange": async | trappable,
        "warren:service/amqp.[method]connection.consume": async | trappable,
        "warren:service/amqp.[method]connection.cancel": async | trappable,
        "warren:service/amqp.[method]connection.forward": async | trappable,
        "warren:service/amqp.[method]connection.publish": async | trappable,
        "warren:service/amqp.[method]connection.close": async | trappable,
        "warren:service/amqp.wait": async | trappable,
        "warren:service/http.send": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "warren:service/amqp.connection": super::amqp::Connection,
        "warren:service/amqp.batch": super::amqp::HeldBatch,
    },
});
