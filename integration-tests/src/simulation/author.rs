//! Writes random workflow definitions: every kind of task of this release, nested at least three deep, small, and
//! always ending. Written as YAML text, so that the compiler stands between the generator and the engine.

use serde_json::{Map, Value as Json, json};

use super::dice::Dice;
use super::elsewhere;
use super::yaml::yaml;

/// Tasks of one definition, at most, not counting functions.
const TASKS: u32 = 16;
/// Runs of one task by loops and retries around it, at most.
const REPEATS: u32 = 12;
/// The deepest list; the top list is 0.
const DEPTH: u32 = 4;

/// Types of events that are posted and listened for.
pub(super) const EVENT_TYPES: [&str; 3] = ["sim.one", "sim.two", "sim.three"];
/// Names of the workflows that are run as children; the last one runs no children itself.
pub(super) const CHILDREN: [&str; 2] = ["child", "grandchild"];
/// The namespace of everything.
pub(super) const NAMESPACE: &str = "sim";

/// A definition named `name` that may run these children.
pub(super) fn definition(dice: &mut Dice, name: &str, children: &[&str]) -> String {
    let mut author = Author { dice, children, tasks: TASKS, named: 0, functions: false };
    let functions = author.functions();
    author.functions = true;
    let extensions = if author.dice.permille(400) { author.extensions() } else { json!([]) };
    let mut tasks = vec![author.nest()];
    while author.tasks > 0 && tasks.len() < 5 {
        tasks.push(author.task(0, 1));
    }
    if author.dice.permille(6) {
        // So long that the decision yields (limit of visits).
        let step = author.named_task(json!({"set": {"n": 1}}));
        tasks.push(author.named_task(json!({"for": {"in": "${ [range(1050)] }"}, "do": [step]})));
    }
    author.link(&mut tasks, 1);
    let mut whole = Map::new();
    whole.insert(
        "document".into(),
        json!({"dsl": "1.0.3", "namespace": NAMESPACE, "name": name, "version": "1.0.0"}),
    );
    if author.dice.permille(100) {
        whole.insert("timeout".into(), json!({"after": author.dice.pick(&["PT40S", "PT3M"])}));
    }
    whole.insert(
        "use".into(),
        json!({
            "functions": functions,
            "extensions": extensions,
            "catalogs": {"sim": {"endpoint": elsewhere::CATALOG}},
            "errors": {"planned": {"type": "https://sim.test/planned", "status": 418, "title": "planned"}},
            "retries": {"patient": {
                "delay": "PT2S", "backoff": {"linear": {}}, "limit": {"attempt": {"count": 2}},
                "jitter": {"from": "PT0.1S", "to": "PT1.5S"},
            }},
        }),
    );
    if author.dice.permille(150) {
        whole.insert("output".into(), json!({"as": "${ {out: .} }"}));
    }
    if author.dice.permille(60) {
        whole.insert("input".into(), author.schema());
    }
    if author.dice.permille(100) {
        whole.insert("evaluate".into(), json!({"mode": "loose"}));
    }
    whole.insert("do".into(), Json::Array(tasks));
    yaml(&Json::Object(whole))
}

struct Author<'a> {
    dice: &'a mut Dice,
    children: &'a [&'a str],
    /// How many tasks may still be written.
    tasks: u32,
    named: u32,
    /// Whether functions may be called.
    functions: bool,
}

impl Author<'_> {
    fn functions(&mut self) -> Json {
        let steps = vec![self.named_task(json!({"set": {"f": "${ . }"}})), self.call(1), self.call(1)];
        let one = self.call(1).as_object().and_then(|map| map.values().next().cloned()).unwrap_or_default();
        json!({"several": {"do": steps}, "single": one})
    }

    /// One or two extensions of a kind of task.
    fn extensions(&mut self) -> Json {
        let count = 1 + self.dice.below(2);
        let extensions: Vec<Json> =
            (0..count).map(|at| json!({format!("e{at}"): self.extension()})).collect();
        extensions.into()
    }

    fn extension(&mut self) -> Json {
        let words = ["composite", "call", "wait", "try", "for", "run", "listen", "set", "all"];
        let mut extension = json!({"extend": *self.dice.pick(&words)});
        if self.dice.permille(300) {
            extension["when"] =
                (*self.dice.pick(&["${ . != 2 }", "$context.seen == null", "$task.call?"])).into();
        }
        for key in ["before", "after"] {
            if !self.dice.permille(600) {
                continue;
            }
            let mut list = vec![self.around()];
            if self.dice.permille(300) {
                list.push(self.around());
            }
            if self.dice.permille(150) {
                let name = list[0].as_object().and_then(|map| map.keys().next().cloned()).unwrap_or_default();
                list[0][&name]["then"] = "exit".into();
            }
            extension[key] = Json::Array(list);
        }
        extension
    }

    /// A task of an extension.
    fn around(&mut self) -> Json {
        let task = match self.dice.below(6) {
            0 => json!({"wait": "PT0.2S"}),
            1 => json!({"call": "echo:1@default", "with": {"around": "${ $task.name }"}}),
            2 => {
                let call = self.named_task(json!({"call": "echo:1@default"}));
                json!({"try": [call], "catch": {}})
            }
            _ => {
                json!({"set": {"around": "${ $task.reference }"}, "export": {"as": "${ $context + {around: 1} }"}})
            }
        };
        self.named_task(task)
    }

    /// `input` or `output` with a schema from elsewhere.
    fn schema(&mut self) -> Json {
        let number = self.dice.below(elsewhere::SCHEMAS.len());
        json!({"schema": {"resource": {"endpoint": format!("http://outside.test/schemas/{number}")}}})
    }

    fn fetched(&mut self) -> Json {
        if self.dice.permille(300) {
            return json!({"call": "second:1.0.0@sim", "with": {"n": "${ . }"}});
        }
        let number =
            if self.dice.permille(30) { elsewhere::KNOWN } else { self.dice.below(elsewhere::KNOWN) };
        json!({"call": format!("http://outside.test/functions/{number}")})
    }

    /// Three composites in one another, so that every definition is nested.
    fn nest(&mut self) -> Json {
        let inner = self.composite(2, 1);
        let middle = vec![inner, self.leaf(1)];
        let middle = self.wrapped(&middle);
        let outer = vec![self.leaf(1), middle];
        self.wrapped(&outer)
    }

    fn wrapped(&mut self, tasks: &[Json]) -> Json {
        let task = match self.dice.below(4) {
            0 => json!({"do": tasks}),
            1 => self.caught(tasks, 1),
            2 => json!({"for": {"in": "[1, 2]"}, "do": tasks}),
            _ => {
                let other = self.leaf(1);
                let named = self.named_task(json!({"do": tasks}));
                json!({"fork": {"branches": [named, other]}})
            }
        };
        self.finished(task)
    }

    fn task(&mut self, depth: u32, repeats: u32) -> Json {
        if depth < DEPTH && self.tasks > 3 && self.dice.permille(500) {
            self.composite(depth, repeats)
        } else {
            self.leaf(repeats)
        }
    }

    fn list(&mut self, depth: u32, repeats: u32) -> Vec<Json> {
        let mut tasks = vec![self.task(depth, repeats)];
        while self.tasks > 0 && tasks.len() < 3 && self.dice.permille(600) {
            tasks.push(self.task(depth, repeats));
        }
        self.link(&mut tasks, repeats);
        tasks
    }

    fn composite(&mut self, depth: u32, repeats: u32) -> Json {
        let inner = depth + 1;
        let task = match self.dice.below(6) {
            0 => json!({"do": self.list(inner, repeats)}),
            1 if repeats * 3 <= REPEATS => self.looped(inner, repeats),
            2 => {
                let count = 2 + self.dice.below(2);
                let branches: Vec<Json> = (0..count).map(|_| self.task(inner, repeats)).collect();
                json!({"fork": {"branches": branches}})
            }
            3 => {
                let count = 2 + self.dice.below(2);
                let branches: Vec<Json> = (0..count).map(|_| self.task(inner, repeats)).collect();
                json!({"fork": {"compete": true, "branches": branches}})
            }
            _ => {
                let body = self.list(inner, repeats * 2);
                self.caught(&body, repeats)
            }
        };
        self.finished(task)
    }

    fn looped(&mut self, depth: u32, repeats: u32) -> Json {
        let items = *self.dice.pick(&["[1, 2, 3]", "${ [range(2)] }", "[]", ". | [.] | [.[0], 2]"]);
        let body = self.list(depth, repeats * 3);
        let mut task = json!({"for": {"each": "one", "at": "place", "in": items}});
        if self.dice.permille(500) {
            task["while"] = (*self.dice.pick(&["$place < 2", "$one != 2", "${ . != 3 }"])).into();
        }
        task["do"] = Json::Array(body);
        task
    }

    fn caught(&mut self, body: &[Json], repeats: u32) -> Json {
        let mut catch = Map::new();
        match self.dice.below(8) {
            0 => drop(catch.insert("errors".into(), json!({"with": {"status": 503}}))),
            1 => {
                let kind = "https://serverlessworkflow.io/dsl/errors/types/timeout";
                catch.insert("errors".into(), json!({"with": {"type": kind}}));
            }
            2 => {
                catch.insert("as".into(), "problem".into());
                catch.insert("when".into(), "$problem.status >= 400".into());
                catch.insert("exceptWhen".into(), "${ $problem.status == 418 }".into());
            }
            _ => {}
        }
        if self.dice.permille(700) {
            let variable = if catch.contains_key("as") { "problem" } else { "error" };
            catch.insert("retry".into(), self.retry(variable));
        }
        if self.dice.permille(500) {
            let handler =
                if self.tasks > 0 { self.leaf(repeats) } else { self.named_task(json!({"set": {"h": 1}})) };
            catch.insert("do".into(), json!([handler]));
        }
        if self.dice.permille(80) {
            catch.insert("then".into(), "exit".into());
        }
        json!({"try": body, "catch": catch})
    }

    fn retry(&mut self, variable: &str) -> Json {
        if self.dice.permille(250) {
            return "patient".into();
        }
        let count = 1 + self.dice.below(2);
        let mut limit = json!({"attempt": {"count": count}});
        if self.dice.permille(300) {
            limit["attempt"]["duration"] = (*self.dice.pick(&["PT3S", "PT10S"])).into();
        }
        if self.dice.permille(200) {
            limit["duration"] = "PT15S".into();
        }
        let mut retry = json!({"limit": limit});
        if self.dice.permille(750) {
            retry["delay"] = (*self.dice.pick(&["PT1S", "PT5S", "PT0.25S"])).into();
            let backoff = *self.dice.pick(&["constant", "linear", "exponential"]);
            retry["backoff"] = json!({backoff: {}});
        }
        if self.dice.permille(200) {
            retry["jitter"] = json!({"from": "PT0S", "to": "PT1S"});
        }
        if self.dice.permille(150) {
            retry["exceptWhen"] = format!("${variable}.status == 404").into();
        }
        retry
    }

    fn leaf(&mut self, repeats: u32) -> Json {
        let task = match self.dice.below(22) {
            0 | 1 => json!({"set": {"n": "${ (.n? // 0) + 1 }"}}),
            2 => json!({"set": "${ {was: (. | tojson | length)} }"}),
            3 => json!({"wait": *self.dice.pick(&["PT1S", "PT4S", "PT0.3S"])}),
            4 => json!({"wait": {"seconds": self.dice.between(1, 9)}}),
            5 if self.dice.permille(400) => {
                json!({"raise": {"error": {"type": "https://sim.test/unplanned", "status": 503}}})
            }
            5 | 6 if self.dice.permille(500) => json!({"raise": {"error": "planned"}}),
            7 | 8 => self.emit(),
            9 | 10 => self.listen(),
            11 | 12 if !self.children.is_empty() && repeats <= 4 => self.run(),
            13 if self.functions => json!({"call": "several", "with": {"given": "${ . }"}}),
            14 if self.functions => json!({"call": "single"}),
            15 => self.choice(),
            16 | 17 => self.fetched(),
            _ => return self.call(repeats),
        };
        self.finished(task)
    }

    fn call(&mut self, _repeats: u32) -> Json {
        let number = self.dice.below(6);
        let task = match self.dice.below(7) {
            0 | 1 => json!({"call": "http", "with": {
                "method": "get", "endpoint": format!("http://outside.test/{number}"),
            }}),
            2 => json!({"call": "http", "with": {
                "method": "post", "endpoint": {"uri": format!("http://outside.test/{number}")},
                "body": {"sent": "${ . }"}, "query": {"visit": "${ $task.name }"},
            }}),
            3 if self.dice.permille(100) => {
                json!({"call": "echo:1@default", "with": {"bad": "${ error(\"no\") }"}})
            }
            5 | 6 => self.program(),
            _ => json!({"call": "echo:1@default", "with": {"sent": "${ . }"}}),
        };
        self.finished(task)
    }

    fn emit(&mut self) -> Json {
        let kind = *self.dice.pick(&EVENT_TYPES);
        json!({"emit": {"event": {"with": {
            "type": kind, "source": "https://sim.test/emit", "data": {"n": "${ . | tojson | length }"},
        }}}})
    }

    fn listen(&mut self) -> Json {
        let kind = *self.dice.pick(&EVENT_TYPES);
        let mut with = json!({"type": kind});
        if self.dice.permille(200) {
            with["data"] = "${ .n % 2 == 0 }".into();
        }
        let mut listen = json!({"to": {"one": {"with": with}}});
        if self.dice.permille(300) {
            listen["read"] = (*self.dice.pick(&["envelope", "raw", "data"])).into();
        }
        json!({"listen": listen})
    }

    fn run(&mut self) -> Json {
        let name = if self.dice.permille(50) { "absent" } else { *self.dice.pick(self.children) };
        let mut workflow = json!({"namespace": NAMESPACE, "name": name, "version": "1.0.0"});
        if self.dice.permille(500) {
            workflow["version"] = "latest".into();
            workflow["input"] = json!({"from": "${ . | tojson | length }"});
        }
        let mut run = json!({"workflow": workflow});
        if self.dice.permille(500) {
            run["await"] = false.into();
        }
        json!({"run": run})
    }

    fn program(&mut self) -> Json {
        let shell = json!({"shell": {"command": "work ${ . | tojson }", "arguments": ["${ $task.name }"]}});
        let script = json!({"script": {"language": "python", "code": "work()", "stdin": "${ . }"}});
        let elsewhere = json!({"script": {"language": "python", "source": {"endpoint": elsewhere::SCRIPT}}});
        let mut run = match self.dice.below(5) {
            0 => shell,
            1 => script,
            _ => elsewhere,
        };
        run["await"] = self.dice.permille(700).into();
        json!({"run": run})
    }

    fn choice(&mut self) -> Json {
        let mut cases = vec![json!({"even": {"when": "(. | tojson | length) % 2 == 0", "then": "continue"}})];
        if self.dice.permille(300) {
            cases.push(json!({"out": {"when": ".n? == 1", "then": "exit"}}));
        }
        if self.dice.permille(100) {
            cases.push(json!({"over": {"then": "end"}}));
        }
        json!({"switch": cases})
    }

    /// Adds what every task may have, and names it.
    fn finished(&mut self, mut task: Json) -> Json {
        if self.dice.permille(60) {
            task["if"] = (*self.dice.pick(&["${ . != 1 }", "$context.seen == null", "false"])).into();
        }
        let waits = task.get("wait").is_some() || task.get("set").is_some();
        if self.dice.permille(if waits { 40 } else { 200 }) {
            task["timeout"] = json!({"after": *self.dice.pick(&["PT2S", "PT8S", "PT30S"])});
        }
        if self.dice.permille(60) {
            task["output"] = json!({"as": "${ {o: (. | tojson | length)} }"});
        }
        if self.dice.permille(60) {
            task["input"] = json!({"from": "${ {i: (. | tojson | length)} }"});
        }
        if self.dice.permille(40) {
            let key = if task.get("output").is_none() { "output" } else { "input" };
            task[key] = self.schema();
        }
        if self.dice.permille(100) {
            task["export"] = json!({"as": "${ $context + {seen: 1} }"});
        }
        if self.dice.permille(20) {
            task["then"] = (*self.dice.pick(&["exit", "end", "continue"])).into();
        }
        self.named_task(task)
    }

    #[allow(clippy::needless_pass_by_value, reason = "the task becomes a part of what is given back")]
    fn named_task(&mut self, task: Json) -> Json {
        self.tasks = self.tasks.saturating_sub(1);
        self.named += 1;
        json!({format!("t{}", self.named): task})
    }

    /// Jumps within a list: forward, or backward at most twice.
    fn link(&mut self, tasks: &mut Vec<Json>, repeats: u32) {
        let names: Vec<String> =
            tasks.iter().filter_map(|task| Some(task.as_object()?.keys().next()?.clone())).collect();
        if tasks.len() > 2 && self.dice.permille(100) {
            let at = self.dice.below(tasks.len() - 1);
            tasks[at][&names[at]]["then"] = names[names.len() - 1].as_str().into();
        }
        if repeats * 2 > REPEATS || !self.dice.permille(350) {
            return;
        }
        let target = self.dice.pick(&names).clone();
        let key = format!("k{}", self.named);
        let counted = format!("${{ $context + {{{key}: (($context.{key} // 0) + 1)}} }}");
        if self.dice.permille(500) {
            let back = json!({"set": {"again": 1}, "if": format!("($context.{key} // 0) < 1"),
                "export": {"as": counted}, "then": target});
            tasks.push(self.named_task(back));
        } else {
            tasks.push(self.named_task(json!({"set": {"count": 1}, "export": {"as": counted}})));
            let cases = json!([{"again": {"when": format!("$context.{key} < 2"), "then": target}}]);
            tasks.push(self.named_task(json!({"switch": cases})));
        }
    }
}
