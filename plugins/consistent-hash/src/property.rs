//! One property out of a content header, as its bytes. Not the other properties.

/// The properties that RabbitMQ lets be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    CorrelationId,
    MessageId,
    Timestamp,
}

/// How the properties are laid out, in the order of their flags from the highest bit on.
#[derive(Clone, Copy)]
enum Form {
    Short,
    Table,
    Octet,
    Long,
}

const LAYOUT: [Form; 10] = [
    Form::Short, // content-type
    Form::Short, // content-encoding
    Form::Table, // headers
    Form::Octet, // delivery-mode
    Form::Octet, // priority
    Form::Short, // correlation-id
    Form::Short, // reply-to
    Form::Short, // expiration
    Form::Short, // message-id
    Form::Long,  // timestamp
];

impl Property {
    pub fn named(name: &str) -> Option<Property> {
        match name {
            "correlation_id" => Some(Property::CorrelationId),
            "message_id" => Some(Property::MessageId),
            "timestamp" => Some(Property::Timestamp),
            _ => None,
        }
    }

    fn place(self) -> usize {
        match self {
            Property::CorrelationId => 5,
            Property::MessageId => 8,
            Property::Timestamp => 9,
        }
    }

    /// `properties` are flags and list as in the content header frame. None where it is not set.
    pub fn of(self, properties: &[u8]) -> Option<&[u8]> {
        let (flags, mut rest) = properties.split_at_checked(2)?;
        let flags = u16::from_be_bytes(flags.try_into().ok()?);
        for (place, form) in LAYOUT.iter().enumerate() {
            if flags & (0x8000 >> place) == 0 {
                continue;
            }
            let length = match form {
                Form::Octet => 1,
                Form::Long => 8,
                Form::Short => {
                    let (length, after) = rest.split_first()?;
                    rest = after;
                    usize::from(*length)
                }
                Form::Table => {
                    let (length, after) = rest.split_at_checked(4)?;
                    rest = after;
                    u32::from_be_bytes(length.try_into().ok()?) as usize
                }
            };
            let (value, after) = rest.split_at_checked(length)?;
            if place == self.place() {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}
