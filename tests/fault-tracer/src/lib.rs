//! A tracer that does what its configuration (`mode`) tells it to, mostly harm, each time it is told
//! of a message. Committed as a component in `tests/fixtures`.

use warren_plugin_sdk::tracer::{Desk, Event, Happening, Messages, Tracer, TracerOpening};

struct Faulty {
    mode: String,
    /// Where `post` posts to.
    url: String,
    desk: Desk,
}

impl Tracer for Faulty {
    const SUMMARY: &'static str = "Misbehaves as it is told to";
    const MESSAGES: Messages = Messages::All;

    fn open(opening: &TracerOpening) -> Result<Self, String> {
        let configuration: serde_json::Value =
            serde_json::from_str(opening.configuration).map_err(|error| error.to_string())?;
        Ok(Faulty {
            mode: configuration["mode"].as_str().unwrap_or("good").to_owned(),
            url: configuration["url"].as_str().unwrap_or("").to_owned(),
            desk: opening.desk.clone(),
        })
    }

    fn observe(&mut self, events: &[Event]) {
        let is_message = |event: &&Event| !matches!(event.happening, Happening::News(_));
        let messages = events.iter().filter(is_message).count();
        match self.mode.as_str() {
            "trap" => panic!("trapped on purpose"),
            "loop" => compute_for_ever(),
            "memory" => hoard(),
            // About a millisecond for each message.
            "slow" => compute(messages as u64 * 1_000_000),
            // The number of messages, and of calls by counting them.
            "post" => {
                let body = messages.to_string();
                self.desk
                    .post(&self.url, &[("x-kind", "count")], body.as_bytes());
            }
            _ => self
                .desk
                .append("seen.log", "m\n".repeat(messages).as_bytes()),
        }
    }
}

fn compute(steps: u64) {
    let mut number: u64 = 0;
    for _ in 0..steps {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

fn compute_for_ever() {
    loop {
        compute(u64::MAX);
    }
}

fn hoard() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

warren_plugin_sdk::export_tracer!(Faulty);
