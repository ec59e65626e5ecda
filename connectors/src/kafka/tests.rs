//! The Kafka source against brokers: the client's own mock cluster for every run, and the contract battery again on a
//! real broker named by `TIDEMILL_TEST_KAFKA=host:port`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use tidemill_dsl::ids::Time;

use super::*;
use crate::testing::{Board, Recorder, context, now, until};

mod battery;

/// A topic of two partitions on some broker, with a group of its own.
struct Bench {
    servers: String,
    topic: String,
    ingress: Arc<Recorder>,
    health: Arc<Board>,
}

static NAMES: AtomicU32 = AtomicU32::new(0);

impl Bench {
    fn new(servers: &str) -> Bench {
        let topic = format!("t-{}-{}-{}", now().0, std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed));
        Bench { servers: servers.into(), topic, ingress: Recorder::new(), health: Board::new() }
    }

    /// On a mock cluster; it lives as long as the test keeps it.
    fn mock() -> (MockCluster<'static, impl ClientContext>, Bench) {
        let cluster = MockCluster::new(1).unwrap();
        let bench = Bench::new(&cluster.bootstrap_servers());
        cluster.create_topic(&bench.topic, 2, 1).unwrap();
        (cluster, bench)
    }

    /// On the real broker, if one is named.
    async fn real() -> Option<Bench> {
        let bench = Bench::new(&variable("TIDEMILL_TEST_KAFKA")?);
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &bench.servers).create().unwrap();
        let topic = NewTopic::new(&bench.topic, 2, TopicReplication::Fixed(1));
        let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
        assert_eq!(made, [Ok(bench.topic.clone())]);
        Some(bench)
    }

    fn spec(&self, start: Start) -> Spec {
        Spec {
            brokers: vec![self.servers.as_str().into()],
            topics: vec![self.topic.as_str().into()],
            group: format!("g-{}", self.topic).into(),
            start,
            mapping: Mapping { broker: self.servers.as_str().into(), ..Mapping::default() },
            options: vec![
                ("session.timeout.ms".into(), "6000".into()),
                ("max.poll.interval.ms".into(), "6000".into()),
                ("heartbeat.interval.ms".into(), "500".into()),
            ],
            ..Spec::default()
        }
    }

    fn run(&self, spec: Spec) -> Running {
        let context = context(&self.ingress, &self.health, "records");
        let stop = context.stop.clone();
        let run = Box::new(Kafka(spec)).run(context);
        Running {
            stop,
            task: tokio::spawn(async { run.await.inspect_err(|error| println!("ended: {error:?}")) }),
        }
    }

    async fn produce(&self, from: usize, to: usize) {
        self.produce_with(from..to, None).await;
    }

    async fn produce_with(&self, numbers: std::ops::Range<usize>, headers: Option<OwnedHeaders>) {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "1000000")
            .create()
            .unwrap();
        let numbers: Vec<usize> = numbers.collect();
        for chunk in numbers.chunks(10_000) {
            let sent = chunk.iter().map(|n| {
                let (producer, topic, headers) = (producer.clone(), self.topic.clone(), headers.clone());
                let n = *n;
                async move {
                    let (key, value) = (format!("k{n}"), n.to_string());
                    let record = FutureRecord::to(&topic).partition((n % 2) as i32).key(&key).payload(&value);
                    let record = FutureRecord { headers, ..record };
                    producer.send(record, Duration::from_secs(30)).await.unwrap();
                }
            });
            join_all(sent).await;
        }
    }

    /// Every number from 0 came exactly once, and those of a partition in order.
    #[track_caller]
    fn check_exactly(&self, count: usize) {
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for event in self.ingress.events() {
            let (partition, offset) = event.id.rsplit_once('/').unwrap();
            let offset: i64 = offset.parse().unwrap();
            let before = last.insert(partition.to_owned(), offset).unwrap_or(-1);
            assert_eq!(offset, before + 1, "in {partition}");
        }
        assert_eq!(self.ingress.count(), count);
        for (partition, offset) in last {
            assert_eq!(self.ingress.position(&partition), Some((offset + 1).to_string()), "of {partition}");
        }
        assert_eq!(self.health.poison(), [""; 0]);
    }

    /// Another member of the group, with a store of its own.
    fn other(&self) -> Bench {
        let (servers, topic) = (self.servers.clone(), self.topic.clone());
        Bench { servers, topic, ingress: Recorder::new(), health: Board::new() }
    }

    /// Waits until two members have every record between them.
    async fn until_distinct(&self, other: &Bench, count: usize) {
        until(&format!("{count} events of two members"), || {
            let ids = |bench: &Bench| bench.ingress.events().into_iter().map(|event| event.id);
            ids(self).chain(ids(other)).collect::<std::collections::BTreeSet<_>>().len() >= count
        })
        .await;
    }

    /// Adds to what was produced until a member's store has some of it and the two members have all; how much there is then.
    async fn produce_until_read(&self, store: &Recorder, (other, mut produced): (&Bench, usize)) -> usize {
        let before = store.count();
        while store.count() == before {
            self.produce(produced, produced + 100).await;
            produced += 100;
        }
        self.until_distinct(other, produced).await;
        produced
    }

    async fn until_count(&self, count: usize) {
        until(&format!("{count} events"), || self.ingress.count() >= count).await;
    }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), SourceError>>,
}

impl Running {
    /// Stops it; ends within the time a consumer may take to close.
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(15), self.task).await.expect("it stops").unwrap().unwrap();
    }

    /// Drops the run wherever it is, as a crash would.
    async fn drop(self) {
        self.task.abort();
        let _ =
            tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("dropping does not wait");
    }

    async fn fails(self) -> SourceError {
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("it ends").unwrap().unwrap_err()
    }
}

/// A mock cluster and a bench on it. The cluster lives as long as the test.
macro_rules! on_mock_and_real {
    ($($name:ident),* $(,)?) => {
        mod mock {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (_cluster, bench) = Bench::mock();
                battery::$name(bench).await;
            })*
        }
        mod real {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bench) = Bench::real().await {
                    battery::$name(bench).await;
                }
            })*
        }
    };
}

on_mock_and_real!(
    reads_all_and_tells_lag_and_group,
    resumes_exactly_after_a_drop_at_any_point,
    begins_at_the_latest_and_remembers_it,
    is_held_without_losing_its_group,
    sets_poison_aside,
    goes_on_after_a_refusal,
    keeps_its_place_through_rebalances,
    refuses_a_position_beyond_the_end,
);

/// The address of a broker to test on; none skips loudly, which CI does not allow.
#[allow(clippy::print_stderr)]
fn variable(name: &str) -> Option<String> {
    let named = std::env::var(name).ok().filter(|text| !text.is_empty());
    if named.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is not set");
        eprintln!("SKIPPED kafka: {name}=host:port is not set");
    }
    named
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_records_on_a_real_broker_are_counted_exactly() {
    let Some(bench) = Bench::real().await else { return };
    bench.produce(0, 100_000).await;
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(30_000).await;
    run.drop().await;
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(100_000).await;
    run.stop().await;
    bench.check_exactly(100_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_address_is_told_and_may_be_tried_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let bench = Bench { servers: address, topic: "t".into(), ingress: Recorder::new(), health: Board::new() };
    let error = bench.run(bench.spec(Start::Earliest)).fails().await;
    assert_eq!((&*error.code, error.permanent), ("kafka-unreachable", false), "{error:?}");
    assert!(bench.health.trouble().contains(&"kafka-unreachable".to_owned()), "{:?}", bench.health.trouble());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_and_comes_back() {
    let (cluster, bench) = Bench::mock();
    bench.produce(0, 10).await;
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(10).await;
    cluster.broker_down(1).unwrap();
    until("the trouble shows", || bench.health.state().starts_with("kafka-unreachable")).await;
    cluster.broker_up(1).unwrap();
    bench.produce(10, 20).await;
    bench.until_count(20).await;
    until("it runs again", || bench.health.state() == "running").await;
    run.stop().await;
    bench.check_exactly(20);
}

/// The mock cluster does not tell a group's members.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_group_on_a_real_broker() {
    if let Some(bench) = Bench::real().await {
        battery::members_go_on_where_the_other_stored(bench).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_handed_over_on_a_real_broker() {
    if let Some(bench) = Bench::real().await {
        battery::what_is_being_stored_is_handed_over(bench).await;
    }
}

/// The mock cluster does not look records up by time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_broker_is_asked_for_a_time() {
    if let Some(bench) = Bench::real().await {
        battery::begins_at_a_time(bench).await;
    }
}

/// A topic that is made after the source: all of it is new, whatever `start` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_may_come_later() {
    let Some(mut bench) = Bench::real().await else {
        return;
    };
    bench.topic = format!("{}-later", bench.topic);
    let mut spec = bench.spec(Start::Latest);
    spec.options.push(("topic.metadata.refresh.interval.ms".into(), "500".into()));
    let run = bench.run(spec);
    until("the topic is missed", || bench.health.state().starts_with("kafka-topic")).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &bench.servers).create().unwrap();
    let topic = NewTopic::new(&bench.topic, 2, TopicReplication::Fixed(1));
    assert_eq!(admin.create_topics([&topic], &AdminOptions::new()).await.unwrap(), [Ok(bench.topic.clone())]);
    bench.produce(0, 10).await;
    bench.until_count(10).await;
    until("it runs", || bench.health.state() == "running").await;
    run.stop().await;
    bench.check_exactly(10);
}

/// Records deleted before they were read are told, and reading goes on with what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_told() {
    let Some(bench) = Bench::real().await else { return };
    bench.produce(0, 20).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &bench.servers).create().unwrap();
    bench.ingress.save(&format!("{}/0", bench.topic), "2");
    bench.ingress.save(&format!("{}/1", bench.topic), "10");
    {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&bench.topic, 0, Offset::Offset(7)).unwrap();
        admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    }
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(3).await;
    run.stop().await;
    assert_eq!(bench.ingress.events()[0].id.rsplit_once('/').unwrap().1, "7");
    assert_eq!(bench.health.trouble(), ["kafka-gap"]);
    assert!(bench.health.state().contains("/0: 5 records from 2 on"), "{}", bench.health.state());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_judged_by_the_broker() {
    let (Some(mut bench), Some(address)) = (Bench::real().await, variable("TIDEMILL_TEST_KAFKA_SASL")) else {
        return;
    };
    bench.produce(0, 10).await;
    bench.servers = address;
    let with = |mechanism: &str, user: &str, password: &str| Spec {
        security: Security {
            protocol: "sasl_plaintext".into(),
            mechanism: Some(mechanism.into()),
            credentials: Some((user.into(), password.into())),
        },
        ..bench.spec(Start::Earliest)
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let error = bench.run(with(mechanism, "app", "wrong")).fails().await;
        assert_eq!((&*error.code, error.permanent), ("kafka-auth", false), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    }
    let run = bench.run(with("SCRAM-SHA-512", "scram", "scram-secret"));
    bench.until_count(10).await;
    run.stop().await;
    bench.check_exactly(10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_and_without_a_login() {
    let Some(mut bench) = Bench::real().await else { return };
    let named = ["TIDEMILL_TEST_KAFKA_TLS", "TIDEMILL_TEST_KAFKA_SASL_TLS", "TIDEMILL_TEST_KAFKA_CA"];
    let [Some(tls), Some(both), Some(ca)] = named.map(variable) else { return };
    bench.produce(0, 10).await;
    let with = |bench: &Bench, security: Security, trusted: bool| {
        let mut spec = Spec { security, ..bench.spec(Start::Earliest) };
        if trusted {
            spec.options.push(("ssl.ca.location".into(), ca.as_str().into()));
        }
        spec
    };
    let ssl = || Security { protocol: "ssl".into(), ..Security::default() };
    let login = |password: &str| Security {
        protocol: "sasl_ssl".into(),
        mechanism: Some("SCRAM-SHA-256".into()),
        credentials: Some(("scram".into(), password.into())),
    };
    bench.servers = tls;
    let error = bench.run(with(&bench, ssl(), false)).fails().await;
    assert_eq!(&*error.code, "kafka-tls", "{error:?}");
    let run = bench.run(with(&bench, ssl(), true));
    bench.until_count(10).await;
    run.stop().await;
    bench.check_exactly(10);
    bench.servers = both;
    let error = bench.run(with(&bench, login("wrong"), true)).fails().await;
    assert_eq!(&*error.code, "kafka-auth", "{error:?}");
    bench.ingress = Recorder::new();
    let spec = Spec { group: "g-login".into(), ..with(&bench, login("scram-secret"), true) };
    let run = bench.run(spec);
    bench.until_count(10).await;
    run.stop().await;
    bench.check_exactly(10);
}

#[test]
fn bad_options_and_topics_are_refused_before_a_run() {
    let refused = |spec: Spec, expected: &str| {
        let error = check(&spec).unwrap_err();
        assert!(error.permanent && error.message.contains(expected), "{error:?}");
    };
    let spec = || Spec { topics: vec!["t".into()], group: "g".into(), ..Spec::default() };
    refused(Spec { topics: vec!["^t.*".into()], ..spec() }, "`^t.*`");
    refused(Spec { options: vec![("group.id".into(), "x".into())], ..spec() }, "`group.id`");
    refused(Spec { options: vec![("no.such.option".into(), "x".into())], ..spec() }, "no.such.option");
    check(&spec()).unwrap();
}

#[test]
fn positions_are_read_from_their_rows() {
    let rows: Vec<(Arc<str>, Arc<str>)> =
        vec![("a/b/3".into(), "7".into()), ("x".into(), "1".into()), ("t/0".into(), "?".into())];
    assert_eq!(parse(&rows).next, Positions::from([(("a/b".into(), 3), 7)]));
}
