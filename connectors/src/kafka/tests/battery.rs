//! What every broker must show: the contract of a source that keeps positions in a group.

use super::*;

pub(super) async fn reads_all_and_tells_lag_and_group(bench: Bench) {
    bench.produce(0, 1000).await;
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(1000).await;
    until("the lag is nought", || bench.health.lags().last() == Some(&0)).await;
    run.stop().await;
    bench.check_exactly(1000);
    assert_eq!(bench.health.state(), "running");
    assert!(
        bench
            .ingress
            .batches()
            .iter()
            .all(|batch| batch.placed.iter().all(|placed| *placed) && batch.events.len() <= BATCH_RECORDS)
    );
    // The group was told: a consumer of the same group without Tidemill's positions has nothing to read.
    let group: BaseConsumer = config::client(&bench.spec(Start::Earliest)).unwrap().create().unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&bench.topic, 0, 1);
        let told = group.committed_offsets(list, Duration::from_secs(10)).unwrap();
        told.elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::offset)
            .collect::<Vec<_>>()
    });
    assert_eq!(told.await.unwrap(), [Offset::Offset(500), Offset::Offset(500)]);
}

pub(super) async fn resumes_exactly_after_a_drop_at_any_point(bench: Bench) {
    bench.produce(0, 3000).await;
    for accepted in [1, 700, 1500, 1501] {
        let run = bench.run(bench.spec(Start::Earliest));
        bench.until_count(accepted).await;
        run.drop().await;
    }
    bench.produce(3000, 4000).await;
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(4000).await;
    run.stop().await;
    bench.check_exactly(4000);
}

pub(super) async fn begins_at_the_latest_and_remembers_it(bench: Bench) {
    bench.produce(0, 10).await;
    let run = bench.run(bench.spec(Start::Latest));
    until("the position is saved", || bench.ingress.positions().len() == 2).await;
    run.drop().await;
    bench.produce(10, 20).await;
    let run = bench.run(bench.spec(Start::Latest));
    bench.until_count(10).await;
    run.stop().await;
    let values: Vec<_> = bench.ingress.events().iter().map(|event| format!("{:?}", event.data)).collect();
    assert!(values.contains(&"Json(10)".to_owned()) && !values.contains(&"Json(9)".to_owned()), "{values:?}");
    assert_eq!(bench.ingress.count(), 10);
}

pub(super) async fn is_held_without_losing_its_group(mut bench: Bench) {
    bench.ingress = Recorder::closed();
    bench.produce(0, 4000).await;
    let spec = bench.spec(Start::Earliest);
    bench.ingress.save(&format!("{}/0", bench.topic), "0");
    bench.ingress.save(&format!("{}/1", bench.topic), "0");
    let run = bench.run(spec);
    // Held for longer than max.poll.interval.ms, told by the client's report every ten seconds.
    until("a report", || bench.health.lags().iter().any(|lag| *lag > 0)).await;
    assert_eq!(bench.ingress.count(), 0);
    bench.ingress.open();
    bench.until_count(4000).await;
    run.stop().await;
    bench.check_exactly(4000);
    assert_eq!(bench.health.trouble(), [""; 0]);
}

pub(super) async fn sets_poison_aside(bench: Bench) {
    bench.produce_with(0..4, None).await;
    let header = |key, value| Header { key, value: Some(value) };
    let good = OwnedHeaders::new()
        .insert(header("ce_specversion", "1.0"))
        .insert(header("ce_id", "7"))
        .insert(header("ce_source", "/shop"))
        .insert(header("ce_type", "order"));
    bench.produce_with(4..6, Some(good)).await;
    let mut spec = bench.spec(Start::Earliest);
    spec.mapping.format = Format::CloudEvents;
    let run = bench.run(spec);
    bench.until_count(2).await;
    until("positions are behind the poison", || {
        (0..2).all(|n| bench.ingress.position(&format!("{}/{n}", bench.topic)).as_deref() == Some("3"))
    })
    .await;
    run.stop().await;
    assert_eq!(bench.health.poison().len(), 4);
    assert!(bench.health.poison()[0].contains(&format!("{}/", bench.topic)), "{:?}", bench.health.poison());
    assert!(bench.ingress.events().iter().all(|event| &*event.kind == "order"));
    // An id of the producer's own tells what was sent twice; a place does not.
    assert!(bench.ingress.batches().iter().all(|batch| !batch.placed.contains(&true)));
}

pub(super) async fn keeps_its_place_through_rebalances(bench: Bench) {
    bench.produce(0, 1000).await;
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(1000).await;
    // Another member takes a partition without reading on, and leaves again.
    let other: BaseConsumer = config::client(&bench.spec(Start::Earliest)).unwrap().create().unwrap();
    other.subscribe(&[&bench.topic]).unwrap();
    let holds = |other: &BaseConsumer| other.assignment().unwrap().count() == 1;
    until("the other member has a partition", || {
        let _ = other.poll(Duration::from_millis(50));
        holds(&other)
    })
    .await;
    bench.produce(1000, 1500).await;
    tokio::task::spawn_blocking(move || drop(other)).await.unwrap();
    bench.until_count(1500).await;
    bench.produce(1500, 2000).await;
    bench.until_count(2000).await;
    run.stop().await;
    bench.check_exactly(2000);
}

/// Each member has a store of its own: together they have all, and what one read the other does not, though records come
/// while partitions move.
pub(super) async fn members_go_on_where_the_other_stored(bench: Bench) {
    bench.produce(0, 600).await;
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(600).await;
    let other = bench.other();
    let second = other.run(bench.spec(Start::Earliest));
    until("the second runs", || other.health.state() == "running").await;
    let mut produced = bench.produce_until_read(&other.ingress, (&other, 600)).await;
    // The first goes: what it stored is not read again. It comes back to a store that is behind the group.
    run.stop().await;
    let before = other.ingress.count();
    bench.produce(produced, produced + 100).await;
    produced += 100;
    other.until_count(before + 100).await;
    let run = bench.run(bench.spec(Start::Earliest));
    produced = bench.produce_until_read(&bench.ingress, (&other, produced)).await;
    second.stop().await;
    bench.produce(produced, produced + 100).await;
    produced += 100;
    bench.until_distinct(&other, produced).await;
    run.stop().await;
    assert_eq!(bench.ingress.count() + other.ingress.count(), produced, "records were read twice");
}

/// What is being stored while a partition goes to another member is not read again by it.
pub(super) async fn what_is_being_stored_is_handed_over(mut bench: Bench) {
    bench.ingress = Recorder::closed();
    bench.produce(0, 600).await;
    bench.ingress.save(&format!("{}/0", bench.topic), "0");
    bench.ingress.save(&format!("{}/1", bench.topic), "0");
    let run = bench.run(bench.spec(Start::Earliest));
    until("events wait to be stored", || bench.ingress.was_called()).await;
    let other = bench.other();
    let second = other.run(bench.spec(Start::Earliest));
    until("the second runs", || other.health.state() == "running").await;
    bench.ingress.open();
    bench.until_distinct(&other, 600).await;
    let produced = bench.produce_until_read(&other.ingress, (&other, 600)).await;
    run.stop().await;
    second.stop().await;
    assert_eq!(bench.ingress.count() + other.ingress.count(), produced, "records were read twice");
}

pub(super) async fn goes_on_after_a_refusal(bench: Bench) {
    bench.produce(0, 100).await;
    bench.ingress.save(&format!("{}/0", bench.topic), "0");
    bench.ingress.save(&format!("{}/1", bench.topic), "0");
    bench.ingress.refuse(1);
    let run = bench.run(bench.spec(Start::Earliest));
    bench.until_count(100).await;
    run.stop().await;
    bench.check_exactly(100);
    assert_eq!(bench.health.trouble(), ["source-held"]);
    assert_eq!(bench.health.state(), "running");
}

pub(super) async fn begins_at_a_time(bench: Bench) {
    bench.produce(0, 10).await;
    let far = Time(now().0 + 3_600_000);
    let run = bench.run(bench.spec(Start::Timestamp(far)));
    until("the position is saved", || bench.ingress.positions().len() == 2).await;
    run.stop().await;
    assert_eq!(bench.ingress.position(&format!("{}/0", bench.topic)).as_deref(), Some("5"));
    let early = Bench { ingress: Recorder::new(), ..bench };
    let spec = Spec { group: "g-early".into(), ..early.spec(Start::Timestamp(Time(0))) };
    let run = early.run(spec);
    early.until_count(10).await;
    run.stop().await;
    early.check_exactly(10);
}

pub(super) async fn refuses_a_position_beyond_the_end(bench: Bench) {
    bench.produce(0, 10).await;
    bench.ingress.save(&format!("{}/0", bench.topic), "900");
    let error = bench.run(bench.spec(Start::Earliest)).fails().await;
    assert_eq!((&*error.code, error.permanent), ("kafka-position", true), "{error:?}");
    assert_eq!(bench.ingress.count(), 0);
}
