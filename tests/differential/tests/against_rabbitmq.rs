//! Fixed seeds against a RabbitMQ, for a bounded time. Without `rabbitmq-server` there is nothing to
//! compare with, and the test says so. `differential run` plays for as long as one likes.

use std::time::Duration;

use warren_differential::compare::Difference;
use warren_differential::connection::Address;
use warren_differential::generate::{Features, Profile};
use warren_differential::peer::{RabbitMq, server};
use warren_differential::run::{Audience, Kind, Plan, Report, run};
use warren_tests::kit::{Broker, Options};

const LIMIT: Duration = Duration::from_secs(20);

/// The end says it all.
struct Nobody;

impl Audience for Nobody {
    fn found(&self, _: &Kind) {}
    fn progress(&self, _: &Report) {}
    fn doubt(&self, _: u64, _: u64, _: &Difference) {}
}

#[test]
fn a_client_cannot_tell_warren_from_rabbitmq() {
    let Some(server) = server() else {
        println!("rabbitmq-server is not installed: nothing was compared");
        return;
    };
    let folder = tempfile::Builder::new()
        .prefix("warren-differential-")
        .tempdir()
        .expect("a temporary folder");
    let peer = RabbitMq::start(&server, folder.path()).expect("RabbitMQ starts");
    let broker = Broker::start(Options::default());
    let plan = Plan {
        left: peer.address.clone(),
        right: Address::parse(&broker.url()).expect("an address"),
        seeds: 1..41,
        sessions: 4,
        profiles: vec![Profile::Ordinary, Profile::Hostile],
        features: Features::today(),
        jobs: 4,
        limit: Some(LIMIT),
        minimised: 3,
    };
    let report = run(&plan, &Nobody);
    println!(
        "{} sessions of {} seeds, {} steps, {} differences, {} late, deliberate: {:?}",
        report.sessions,
        report.seeds,
        report.steps,
        report.differences(),
        report.late,
        report.parted
    );
    for kind in report.kinds.values() {
        println!("---- seed {} session {}", kind.seed, kind.session);
        print!("{}", kind.script);
        println!("RabbitMQ: {:#?}", kind.difference.left);
        println!("Warren: {:#?}", kind.difference.right);
    }
    assert!(report.sessions >= 20, "only {} sessions", report.sessions);
    assert!(
        report.kinds.is_empty(),
        "{} kinds of differences",
        report.kinds.len()
    );
}
