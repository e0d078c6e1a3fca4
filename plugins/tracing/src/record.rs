//! One event as a trace shows it: what published and delivered messages have in common.

use warren_plugin_sdk::tracer::{Event, Happening, Message, Party};

pub struct Record<'a> {
    pub at: u64,
    pub vhost: &'a str,
    pub message: &'a Message,
    pub party: &'a Party,
    pub way: Way<'a>,
}

pub enum Way<'a> {
    Published { queues: &'a [String] },
    Delivered { queue: &'a str, redelivered: bool },
}

impl<'a> Record<'a> {
    /// None: it is no message.
    pub fn of(event: &'a Event) -> Option<Record<'a>> {
        let (message, party, way) = match &event.happening {
            Happening::Published(published) => {
                let queues = &published.queues;
                (&published.message, &published.by, Way::Published { queues })
            }
            Happening::Delivered(delivered) => {
                let way = Way::Delivered {
                    queue: &delivered.queue,
                    redelivered: delivered.redelivered,
                };
                (&delivered.message, &delivered.to, way)
            }
            Happening::News(_) => return None,
        };
        Some(Record {
            at: event.at,
            vhost: &event.vhost,
            message,
            party,
            way,
        })
    }

    /// Of the firehose.
    pub fn routing_key(&self) -> String {
        match self.way {
            Way::Published { .. } => format!("publish.{}", self.message.exchange),
            Way::Delivered { queue, .. } => format!("deliver.{queue}"),
        }
    }

    /// As RabbitMQ writes it: UTC, with milliseconds.
    pub fn time(&self) -> String {
        let (days, in_day) = (self.at / 86_400_000, self.at % 86_400_000);
        let (year, month, day) = date(days);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, millisecond) = (in_day / 1000 % 60, in_day % 1000);
        format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}+00:00"
        )
    }
}

/// Year, month and day, so many days after the first of 1970.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // The calendar repeats itself.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_told_as_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(20_779), (2026, 11, 22));
    }
}
