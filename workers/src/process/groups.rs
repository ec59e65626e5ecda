//! Which process groups run, written down beside the data: a server that was killed cannot end its programs, so the
//! next one does.
//!
//! Owns one small file a group, there as long as the group may live: `PID` holds when its leader was started, in which
//! session, and on which boot of which machine. A number that belongs to another process by now is left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How long the end of what was left may take.
const END: Duration = Duration::from_secs(2);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(5);

/// Where groups are written down; by default nowhere.
#[derive(Clone, Debug, Default)]
pub struct Groups(Option<Arc<Folder>>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    boot: String,
}

/// A group that is written down, until this is dropped.
#[derive(Debug)]
pub(crate) struct Noted(PathBuf);

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What is written down of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    start: u64,
    session: i32,
    boot: String,
}

/// A process, as the system tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    is_zombie: bool,
    group: i32,
    session: i32,
    /// Ticks from the boot to its start.
    start: u64,
}

impl Groups {
    /// Written down in this folder, which is made if need be. One server at a time may have it.
    pub fn kept_in(path: PathBuf) -> io::Result<Groups> {
        fs::create_dir_all(&path)?;
        Ok(Groups(Some(Arc::new(Folder { path, boot: boot() }))))
    }

    /// Writes a group down that was just started. Where that fails the group runs all the same.
    pub(crate) fn note(&self, leader: Pid) -> Option<Noted> {
        let folder = self.0.as_ref()?;
        let number = leader.as_raw_nonzero().get();
        let Process { start, session, .. } = Process::read(number)?;
        let path = folder.path.join(number.to_string());
        let record = Record { start, session, boot: folder.boot.clone() };
        match fs::write(&path, record.text()) {
            Ok(()) => Some(Noted(path)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot write a process group down; a crash would leave it running");
                None
            }
        }
    }

    /// Kills every group that an earlier server left running, and waits for its end; gives how many there were. Blocks.
    pub fn end_left(&self) -> io::Result<usize> {
        let Some(folder) = &self.0 else { return Ok(0) };
        let mut count = 0;
        for entry in fs::read_dir(&folder.path)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            // What has another name was not written here, and stays.
            let number = name.and_then(|name| name.parse::<i32>().ok()).filter(|number| *number > 0);
            let Some((number, leader)) = number.and_then(|number| Some((number, Pid::from_raw(number)?)))
            else {
                continue;
            };
            let record = fs::read_to_string(&path).ok().and_then(|text| Record::read(&text));
            if record.is_some_and(|record| record.boot == folder.boot && is_left(number, &record)) {
                count += 1;
                end(leader, number);
            }
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "cannot remove the record of a process group");
            }
        }
        Ok(count)
    }
}

impl Record {
    fn text(&self) -> String {
        format!("{} {} {}\n", self.start, self.session, self.boot)
    }

    fn read(text: &str) -> Option<Record> {
        let mut words = text.strip_suffix('\n')?.splitn(3, ' ');
        let (start, session) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Record { start, session, boot: words.next()?.to_owned() })
    }
}

impl Process {
    fn read(number: i32) -> Option<Process> {
        Process::of(&fs::read_to_string(format!("/proc/{number}/stat")).ok()?)
    }

    /// From `/proc/PID/stat`: the name in parentheses may hold anything.
    fn of(stat: &str) -> Option<Process> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Process {
            is_zombie: *fields.first()? == "Z",
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Whether the group is the one that was written down. As long as a group has members its number is given to no new
/// process: with its leader gone, members of the same session that are younger than it are those of the record.
fn is_left(number: i32, record: &Record) -> bool {
    match Process::read(number) {
        Some(leader) => leader.group == number && leader.start == record.start,
        None => members(number).any(|one| one.session == record.session && one.start >= record.start),
    }
}

/// The processes of a group.
fn members(number: i32) -> impl Iterator<Item = Process> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(Process::read).filter(move |process| process.group == number)
}

fn end(leader: Pid, number: i32) {
    let _ = kill_process_group(leader, Signal::KILL);
    for _ in 0..END.as_millis() / LOOK.as_millis() {
        if members(number).all(|process| process.is_zombie) {
            return;
        }
        std::thread::sleep(LOOK);
    }
    tracing::warn!(group = number, "a process group that was left running does not end");
}

/// What numbers of processes are unique within: the boot of the machine and the name space of processes.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link(Path::new("/proc/self/ns/pid")).unwrap_or_default();
    format!("{} {}", id.trim(), space.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn group(script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0).stdin(Stdio::null()).spawn().unwrap()
    }

    fn number(child: &Child) -> i32 {
        i32::try_from(child.id()).unwrap()
    }

    #[test]
    fn records_and_processes_are_read() {
        let stat = "7 (a ) b) S 1 7 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 99 1";
        let process = Process { is_zombie: false, group: 7, session: 3, start: 4711 };
        assert_eq!(Process::of(stat), Some(process));
        assert_eq!(Process::of("7 (a"), None);
        let record = Record { start: 1, session: 2, boot: "b pid:[1]".into() };
        assert_eq!(Record::read(&record.text()), Some(record));
        for cut in ["", "1", "1 2", "x 2 b\n", "1 2 b"] {
            assert_eq!(Record::read(cut), None, "{cut}");
        }
    }

    /// Ends what is left after the record was changed; tells whether the group was ended.
    #[track_caller]
    fn check(script: &str, change: impl Fn(&mut Record), expected: bool) {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups::kept_in(folder.path().to_owned()).unwrap();
        let mut child = group(script);
        let noted = groups.note(Pid::from_child(&child)).unwrap();
        let mut record = Record::read(&fs::read_to_string(&noted.0).unwrap()).unwrap();
        change(&mut record);
        fs::write(&noted.0, record.text()).unwrap();
        std::mem::forget(noted);
        let ended = groups.end_left().unwrap();
        assert_eq!(ended, usize::from(expected));
        assert_eq!(members(number(&child)).all(|process| process.is_zombie), expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        child.wait().unwrap();
    }

    #[test]
    fn what_was_left_is_ended_and_what_has_its_number_by_chance_is_not() {
        check("sleep 3600 & wait", |_| (), true);
        check("sleep 3600", |record| record.start -= 1, false);
        check("sleep 3600", |record| record.boot.push('x'), false);
    }

    #[test]
    fn what_is_no_record_hinders_no_start() {
        let folder = tempfile::tempdir().unwrap();
        for dir in ["lost+found", "7"] {
            fs::create_dir(folder.path().join(dir)).unwrap();
        }
        for (name, text) in [("1", ""), ("8", "no record"), ("-1", ""), ("0", ""), ("notes", "")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(Groups::kept_in(folder.path().to_owned()).unwrap().end_left().unwrap(), 0);
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: std::collections::BTreeSet<_> = left.map(|name| name.into_string().unwrap()).collect();
        assert_eq!(left, ["-1", "0", "7", "lost+found", "notes"].map(String::from).into());
    }

    #[test]
    fn a_group_without_its_leader_is_known_by_its_session() {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups::kept_in(folder.path().to_owned()).unwrap();
        for (off, expected) in [(1, 0), (0, 1)] {
            let mut child = group("sleep 3600 & exit 0");
            let noted = groups.note(Pid::from_child(&child)).unwrap();
            child.wait().unwrap();
            let mut record = Record::read(&fs::read_to_string(&noted.0).unwrap()).unwrap();
            record.session += off;
            fs::write(&noted.0, record.text()).unwrap();
            std::mem::forget(noted);
            assert_eq!(groups.end_left().unwrap(), expected);
            assert_eq!(members(number(&child)).all(|process| process.is_zombie), expected == 1);
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        }
    }

    #[test]
    fn a_group_that_ended_is_written_down_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups::kept_in(folder.path().to_owned()).unwrap();
        let mut child = group("exit 0");
        let noted = groups.note(Pid::from_child(&child));
        assert_eq!((noted.is_some(), fs::read_dir(folder.path()).unwrap().count()), (true, 1));
        child.wait().unwrap();
        drop(noted);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Groups::default().note(Pid::INIT).is_none());
    }
}
