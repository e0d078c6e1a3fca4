//! Encrypted connections: our own certificates and keys, which may change while the broker runs, and
//! the stream that stands in for a socket. Not listeners (see `net/` and `http/`), and no files:
//! whoever starts the broker reads them.

mod identity;
mod options;
mod outgoing;
mod roots;
mod stream;
mod suite;

pub use identity::{Identity, ReadFile, TlsError};
pub use options::{TlsOptions, Verify, Versions};
pub use outgoing::{Outgoing, OutgoingStream, Trust};
pub use roots::Roots;
pub use stream::{Encrypted, HandshakeError};
