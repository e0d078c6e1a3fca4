//! SASL mechanisms: their names, and who somebody without a name is.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    Amqplain,
    /// RFC 4505. Logs in as a user that the configuration names.
    Anonymous,
    /// The client's certificate says who it is.
    External,
}

impl Mechanism {
    pub const ALL: [Mechanism; 4] = [
        Mechanism::Plain,
        Mechanism::Amqplain,
        Mechanism::Anonymous,
        Mechanism::External,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Amqplain => "AMQPLAIN",
            Mechanism::Anonymous => "ANONYMOUS",
            Mechanism::External => "EXTERNAL",
        }
    }

    pub fn parse(name: &str) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .find(|known| known.name() == name)
    }
}

/// Whose name and password ANONYMOUS stands for. It opens nothing that they do not: once the password
/// is another, ANONYMOUS is refused.
#[derive(Clone, PartialEq, Eq)]
pub struct Anonymous {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Anonymous {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Anonymous({})", self.user)
    }
}

impl Default for Anonymous {
    fn default() -> Anonymous {
        Anonymous {
            user: "guest".to_owned(),
            password: "guest".to_owned(),
        }
    }
}
