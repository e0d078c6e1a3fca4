//! SIGHUP with other certificates in the files.

use warren_tests::kit::{Authority, Wire};

use super::House;

impl House {
    fn hang_up(&self) {
        let pid = libc::pid_t::try_from(self.broker.pid()).expect("a process id");
        // SAFETY: a system call without pointers, on a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGHUP) }, 0);
    }

    fn presented(&self) -> Vec<u8> {
        let stream = self.dial(None).expect("a handshake");
        let shown = stream.conn.peer_certificates().expect("a certificate");
        shown[0].to_vec()
    }
}

fn times(house: &House, text: &str) -> usize {
    let lines = house.broker.log_lines();
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_new_certificate_holds_for_new_connections_and_old_ones_go_on() {
    let house = House::start("");
    let stream = house.dial(None).expect("a handshake");
    let mut open = Wire::log_in(stream, ("PLAIN", b"\0guest\0guest"), 0).expect("guest");
    let before = house.presented();
    house.authority.server().write(house.folder.path());
    house.hang_up();
    house.broker.logs("certificates are read again");
    assert_ne!(house.presented(), before);
    open.consume("", true).expect_err("no such queue");
    // The refusal has come over the connection that was open all the time.
    assert_eq!(times(&house, "connection lost"), 0);
}

#[test]
fn a_broken_new_certificate_leaves_the_old_one_in_force() {
    let house = House::start("");
    let before = house.presented();
    let other = Authority::new("other").server();
    let key = house.folder.path().join("server.key");
    std::fs::write(key, &other.key).expect("a file");
    house.hang_up();
    house.broker.logs("the certificate stays as it was");
    house
        .broker
        .logs("server.key: does not belong to the certificate in");
    assert_eq!(house.presented(), before);
    house.authority.server().write(house.folder.path());
    house.hang_up();
    house.broker.logs("certificates are read again");
    assert_ne!(house.presented(), before);
}
