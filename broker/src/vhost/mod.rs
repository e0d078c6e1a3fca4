//! Topology and routing: what exists in a virtual host and where a published message goes.
//! Not sessions and not sockets; plugins are seen only through `exchange_type`.

pub mod exchange_type;
