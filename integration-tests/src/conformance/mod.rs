//! The conformance kits against the real binary: feature files, pages with examples, the official examples, jq files.
//!
//! Owns the run: one server and one stand-in for all scenarios, which go on side by side until each has ended or
//! needs a kill; then the server is killed once for all of them. What steps mean is in `acts` and `claims`.

mod acts;
mod claims;
pub mod examples;
pub mod gherkin;
pub mod jq;
pub mod pages;
mod routes;
mod stand_in;
mod world;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::server::Server;
use gherkin::Scenario;
use stand_in::StandIn;
use world::{Pause, World};

/// Scenarios under way at once.
const ABREAST: usize = 16;
/// The public hosts that the official kit and examples call.
const HOSTS: [&str; 9] = [
    "petstore.swagger.io",
    "httpbin.org",
    "swapi.dev",
    "superbet-casinos.com",
    "external-service.example.com",
    "virtual-wf-powered-race.com",
    "hospital.example.com",
    "fake-hospital.com",
    "raw.githubusercontent.com",
];

/// What became of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All its steps hold.
    Passed,
    /// The first step that does not hold, and why.
    Failed(String),
    /// It needs what this release does not have.
    Skipped(String),
}

/// What a run gave: names and outcomes in the order of the scenarios.
#[derive(Debug, Default)]
pub struct Report {
    /// `FEATURE: NAME` of each scenario and its outcome.
    pub outcomes: Vec<(String, Outcome)>,
}

impl Report {
    /// How many passed, failed and were skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |fits: fn(&Outcome) -> bool| self.outcomes.iter().filter(|(_, o)| fits(o)).count();
        (
            count(|o| *o == Outcome::Passed),
            count(|o| matches!(o, Outcome::Failed(_))),
            count(|o| matches!(o, Outcome::Skipped(_))),
        )
    }

    /// One line a scenario.
    pub fn lines(&self) -> Vec<String> {
        let line = |(name, outcome): &(String, Outcome)| match outcome {
            Outcome::Passed => format!("pass {name}"),
            Outcome::Failed(why) => format!("FAIL {name}: {why}"),
            Outcome::Skipped(why) => format!("skip {name} ({why})"),
        };
        self.outcomes.iter().map(line).collect()
    }

    /// The lines of those that failed.
    pub fn failures(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.starts_with("FAIL")).collect()
    }
}

/// The server under test with the stand-in that its calls to public hosts are led to.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) stand_in: Arc<StandIn>,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Bench {
        let stand_in = StandIn::start();
        let rewrite = stand_in.rewrite(&HOSTS);
        let environment = [
            ("TIDEMILL_EGRESS__ALLOW", r#"["127.0.0.1/32"]"#),
            ("TIDEMILL_EGRESS__REWRITE", rewrite.as_str()),
            ("TIDEMILL_RUN__ALLOW", r#"["shell", "script"]"#),
        ];
        let folder = tempfile::Builder::new().prefix("tidemill-kit").tempdir().expect("a folder");
        let server = Server::start(folder.path(), &environment).await;
        Bench { server, stand_in, folder }
    }

    fn end(self) {
        drop(self.server);
        drop(self.folder);
    }
}

/// Runs scenarios, first those that kill the server. One whose definition is refused for nothing but what this release
/// does not run (codes E09..) is skipped.
pub async fn run(scenarios: Vec<Scenario>) -> Report {
    let mut bench = Bench::start().await;
    let mut outcomes: Vec<Option<Outcome>> = vec![None; scenarios.len()];
    let names: Vec<String> = scenarios.iter().map(Scenario::full_name).collect();
    let (mut killing, mut others) = (Vec::new(), Vec::new());
    for (index, scenario) in scenarios.into_iter().enumerate() {
        let group = if scenario.kills() { &mut killing } else { &mut others };
        group.push((index, World::new(scenario, index, &bench.server, bench.stand_in.clone())));
    }
    for mut open in [killing, others] {
        while !open.is_empty() {
            let mut waiting = Vec::new();
            for (index, world, pause) in side_by_side(open).await {
                match pause {
                    Pause::Ended(Ok(())) => outcomes[index] = Some(Outcome::Passed),
                    Pause::Ended(Err(why)) => {
                        outcomes[index] = Some(match world.lacking() {
                            Some(what) => Outcome::Skipped(what),
                            None => Outcome::Failed(why),
                        });
                    }
                    Pause::Kill => waiting.push((index, world)),
                }
            }
            if !waiting.is_empty() {
                bench.server.kill();
                bench.server.restart().await;
                for (_, world) in &mut waiting {
                    world.reconnect(&bench.server);
                }
            }
            open = waiting;
        }
    }
    bench.end();
    let outcome = |o: Option<Outcome>| o.unwrap_or_else(|| Outcome::Failed("it was lost".into()));
    Report { outcomes: names.into_iter().zip(outcomes.into_iter().map(outcome)).collect() }
}

async fn side_by_side(open: Vec<(usize, World)>) -> Vec<(usize, World, Pause)> {
    let places = Arc::new(Semaphore::new(ABREAST));
    let all = async {
        let mut tasks = JoinSet::new();
        for (index, mut world) in open {
            let places = places.clone();
            tasks.spawn_local(async move {
                let _place = places.acquire().await;
                let pause = world.go_on().await;
                (index, world, pause)
            });
        }
        tasks.join_all().await
    };
    LocalSet::new().run_until(all).await
}
