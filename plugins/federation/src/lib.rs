//! Federation: exchanges and queues that a policy names receive what is published upstream, on other
//! brokers. Settings as RabbitMQ's `federation-upstream` and `federation-upstream-set` have them.

mod exchange;
mod link;
mod names;
mod plan;
mod properties;
mod queue;
mod validate;

use warren_service_sdk::amqp::Error;
use warren_service_sdk::{Parameter, Service, Task, amqp, host};

use link::Link;

struct Federation;

impl Service for Federation {
    fn check(parameter: &Parameter) -> Result<(), Vec<String>> {
        let errors = match serde_json::from_str(&parameter.value) {
            Ok(value) => validate::parameter(parameter, &value, &|_, uri| amqp::check_uri(uri)),
            Err(error) => vec![error.to_string()],
        };
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn plan() -> Vec<Task> {
        plan::tasks()
    }

    fn run(task: Task) -> Result<(), String> {
        let link = Link::parse(&task)?;
        host::show(&link.facts(0));
        loop {
            let ended = match &link.kind {
                link::Kind::Exchange(local) => exchange::run(&link, local),
                link::Kind::Queue(local) => queue::run(&link, local),
            };
            let why = match ended {
                Ok(()) | Err(Error::Stopping) => return Ok(()),
                Err(Error::Refused(refusal)) => refusal.text,
                Err(Error::Lost(text) | Error::Denied(text) | Error::Invalid(text)) => text,
            };
            host::log(
                host::Level::Warn,
                &format!("link to {}: {why}", link.upstream),
            );
            host::waiting_for(&why);
            host::count("reconnects", 1);
            host::sleep(link.reconnect_delay);
            if host::stopping().is_some() {
                return Ok(());
            }
        }
    }
}

warren_service_sdk::export!(Federation);
