//! Plans, events and a live run of the cron source.

use std::sync::Arc;

use tidemill_dsl::ids::Time;
use tidemill_dsl::value::Value;

use super::*;
use crate::testing::{Board, Recorder, context, until};

fn spec(expression: &str, catch_up: CatchUp, max: usize) -> Spec {
    Spec {
        schedule: Schedule::parse(expression, Dialect::Posix, "UTC").unwrap(),
        catch_up,
        max_catch_up: max,
        data: Map::new(),
        overrides: EventOverrides::default(),
    }
}

fn at(text: &str) -> Time {
    Time::parse(&format!("2026-11-24T{text}Z")).unwrap()
}

/// Fires of an hourly schedule, `!` marks those caught up; then the position and the next instant.
#[track_caller]
#[allow(clippy::too_many_arguments)] // a table row
fn check(policy: CatchUp, max: usize, last: &str, armed: Option<&str>, now: &str, expected: &str) {
    let plan = plan(&spec("0 * * * *", policy, max), at(last), armed.map(at), at(now));
    let clock = |time: Time| time.rfc3339()[11..19].to_owned();
    let fires: Vec<String> =
        plan.fires.iter().map(|f| format!("{}{}", clock(f.at), if f.catch_up { "!" } else { "" })).collect();
    let shown =
        format!("{} @{} >{}", fires.join(" "), clock(plan.position), plan.next.map_or("-".into(), clock));
    assert_eq!(shown.trim_start(), expected);
}

#[test]
fn an_instant_that_is_waited_for_fires_on_time() {
    for policy in [CatchUp::Skip, CatchUp::Once, CatchUp::All] {
        check(policy, 9, "11:00:00", Some("12:00:00"), "12:00:00", "12:00:00 @12:00:00 >13:00:00");
        check(policy, 9, "11:00:00", Some("12:00:00"), "12:00:59", "12:00:00 @12:00:00 >13:00:00");
        check(policy, 9, "11:00:00", Some("12:00:00"), "11:59:59", "@11:00:00 >12:00:00");
        check(policy, 9, "12:00:00", Some("12:00:00"), "12:00:30", "@12:00:00 >13:00:00");
    }
}

#[test]
fn missed_instants_go_by_the_policy() {
    check(CatchUp::Skip, 9, "08:00:00", None, "12:30:00", "@12:00:00 >13:00:00");
    check(CatchUp::Once, 9, "08:00:00", None, "12:30:00", "12:00:00! @12:00:00 >13:00:00");
    check(CatchUp::All, 9, "09:00:00", None, "12:30:00", "10:00:00! 11:00:00! 12:00:00! @12:00:00 >13:00:00");
    check(CatchUp::All, 2, "08:00:00", None, "12:30:00", "11:00:00! 12:00:00! @12:00:00 >13:00:00");
    check(CatchUp::Once, 9, "12:00:00", None, "12:30:00", "@12:00:00 >13:00:00");
    check(CatchUp::Once, 9, "11:00:00", None, "12:00:00", "12:00:00! @12:00:00 >13:00:00");
}

#[test]
fn an_armed_instant_beside_missed_ones() {
    // Held for hours: the instant waited for is no longer on time.
    check(CatchUp::Skip, 9, "09:00:00", Some("10:00:00"), "12:00:00", "@12:00:00 >13:00:00");
    check(CatchUp::Once, 9, "09:00:00", Some("10:00:00"), "12:00:00", "12:00:00! @12:00:00 >13:00:00");
    let fires = |policy, armed: &str, now: &str| {
        let plan = plan(&spec("* * * * * *", policy, 2), at("10:00:00"), Some(at(armed)), at(now));
        plan.fires.iter().map(|f| (f.at.rfc3339()[17..19].to_owned(), f.catch_up)).collect::<Vec<_>>()
    };
    let shown =
        |seconds: &[(&str, bool)]| seconds.iter().map(|(s, c)| ((*s).to_owned(), *c)).collect::<Vec<_>>();
    assert_eq!(fires(CatchUp::Skip, "10:00:01", "10:00:05"), shown(&[("01", false)]));
    assert_eq!(fires(CatchUp::Once, "10:00:01", "10:00:05"), shown(&[("01", false), ("05", true)]));
    assert_eq!(
        fires(CatchUp::All, "10:00:01", "10:00:05"),
        shown(&[("01", false), ("04", true), ("05", true)])
    );
}

#[test]
fn a_clock_set_back_fires_nothing_twice() {
    check(CatchUp::All, 9, "12:00:00", Some("13:00:00"), "10:30:00", "@12:00:00 >13:00:00");
}

#[test]
fn a_fire_becomes_an_event() {
    let mut spec = spec("0 * * * *", CatchUp::Once, 1);
    spec.data =
        Value::parse(br#"{"region":"eu","catchUp":"shadowed"}"#).unwrap().as_object().unwrap().clone();
    let fire = Fire { at: at("12:00:00"), catch_up: true };
    let event = to_event(&spec, "/sources/default/nightly", fire, at("12:00:00.250")).unwrap();
    insta::assert_snapshot!(event.to_value(), @r#"{"specversion":"1.0","id":"2026-11-24T12:00:00Z","source":"/sources/default/nightly","type":"cron.fired","subject":"2026-11-24T12:00:00Z","time":"2026-11-24T12:00:00Z","datacontenttype":"application/json","data":{"region":"eu","catchUp":true,"scheduledAt":"2026-11-24T12:00:00Z","firedAt":"2026-11-24T12:00:00.250Z"}}"#);
}

#[test]
fn an_instant_of_the_past_has_the_id_of_the_one_that_fired() {
    let spec = spec("0 * * * *", CatchUp::Once, 1);
    let (noon, now) = (at("12:00:00"), at("15:00:00"));
    let fired = to_event(&spec, "/s", Fire { at: noon, catch_up: false }, noon).unwrap();
    let filled = recovered(&spec, "/s", noon, now).unwrap();
    assert_eq!((&fired.source, &fired.id), (&filled.source, &filled.id));
    insta::assert_snapshot!(filled.to_value(), @r#"{"specversion":"1.0","id":"2026-11-24T12:00:00Z","source":"/s","type":"cron.fired","subject":"2026-11-24T12:00:00Z","time":"2026-11-24T12:00:00Z","datacontenttype":"application/json","recovered":true,"data":{"scheduledAt":"2026-11-24T12:00:00Z","firedAt":"2026-11-24T15:00:00.000Z","catchUp":true}}"#);
}

#[test]
fn the_position_of_another_schedule_is_not_resumed() {
    let hourly = spec("0  *  * * *", CatchUp::Once, 1);
    let saved = |schedule: &str| -> Vec<(Arc<str>, Arc<str>)> {
        vec![
            (POSITION.into(), "2026-11-24T10:00:00.000Z".into()),
            (POSITION_SCHEDULE.into(), schedule.into()),
        ]
    };
    assert_eq!(resume(&hourly, &saved("0 * * * * UTC posix")), Some(at("10:00:00")));
    assert_eq!(resume(&hourly, &saved("0 3 * * * UTC posix")), None);
    assert_eq!(resume(&hourly, &saved("0 * * * * UTC posix")[..1]), Some(at("10:00:00")));
    assert_eq!(resume(&hourly, &[]), None);
}

fn cron(expression: &str) -> Box<Cron> {
    Box::new(Cron(spec(expression, CatchUp::All, 100)))
}

#[tokio::test]
async fn a_first_run_saves_where_it_begins_and_fires_each_second_once() {
    let (ingress, health) = (Recorder::new(), Board::new());
    let context = context(&ingress, &health, "every-second");
    let stop = context.stop.clone();
    let run = tokio::spawn(cron("* * * * * *").run(context));
    until("two fires", || ingress.events().len() >= 2).await;
    stop.cancel();
    run.await.unwrap().unwrap();
    let batches = ingress.batches();
    assert!(batches[0].events.is_empty() && batches[0].positions.len() == 2, "{:?}", batches[0]);
    assert!(batches.iter().all(|batch| batch.placed.is_empty()));
    let ids: Vec<_> = ingress.events().iter().map(|event| Time::parse(&event.id).unwrap().0).collect();
    assert!(ids.windows(2).all(|pair| pair[1] - pair[0] == 1000), "{ids:?}");
    assert_eq!(health.state(), "running");
}

#[tokio::test]
async fn a_restart_neither_loses_nor_doubles_an_instant() {
    let (ingress, health) = (Recorder::new(), Board::new());
    let begin = Time((crate::testing::now().0 / 1000 - 50) * 1000);
    ingress.save("fired", &begin.rfc3339());
    for round in 1..=3 {
        let context = context(&ingress, &health, "every-second");
        let stop = context.stop.clone();
        let run = tokio::spawn(cron("* * * * * *").run(context));
        let before = ingress.events().len();
        until("a fire", || ingress.events().len() > before).await;
        // Dropped at an arbitrary point, as a crash would.
        if round == 2 {
            run.abort();
        } else {
            stop.cancel();
        }
        let _ = run.await;
    }
    let ids: Vec<_> = ingress.events().iter().map(|event| Time::parse(&event.id).unwrap().0).collect();
    assert_eq!(ids[0], begin.0 + 1000);
    assert!(ids.len() >= 50 && ids.windows(2).all(|pair| pair[1] - pair[0] == 1000), "{ids:?}");
}

#[tokio::test]
async fn a_thousand_sources_wait_in_one_thread() {
    let (ingress, health) = (Recorder::new(), Board::new());
    let runs: Vec<_> = (0..1000)
        .map(|n| {
            let context = context(&ingress, &health, &format!("daily-{n}"));
            (context.stop.clone(), tokio::spawn(cron(&format!("{} 3 29 2 *", n % 60)).run(context)))
        })
        .collect();
    until("every source has begun", || ingress.batches().len() == 1000).await;
    for (stop, run) in runs {
        stop.cancel();
        run.await.unwrap().unwrap();
    }
    assert!(ingress.events().is_empty());
}
